"""Private and undocumented names of libraries on which this program relies, each of them once.

Data only; nothing is imported here. `library_check.py` looks the names up,
`tests/test_private_names.py` reports each that a new version of a library has renamed, and the
engine leaves a technique out, with one line in the log, where its names are gone (`usable`).
The versions are those of requirements.txt.
"""

from __future__ import annotations

from turbostream.library_check import Use

# -- with something to fall back to: the engine asks `usable` before it relies on them -------------

PACKED = Use(
    "torch",
    "turbostream/engine/rewrite/packed.py",
    "convolutions on a CPU are PyTorch's own, which reorder their weights on every call",
    {
        "torch.ops.mkldnn._convolution_pointwise.default": (
            "X, W, B, padding, stride, dilation, groups, attr, scalars, algorithm"
        ),
        "torch.ops.mkldnn._convolution_pointwise.binary": (
            "X, other, W, B, padding, stride, dilation, groups, binary_attr, alpha, unary_attr, "
            "unary_scalars, unary_algorithm"
        ),
        "torch.ops.mkldnn._convolution_transpose_pointwise.default": (
            "X, W, B, padding, output_padding, stride, dilation, groups, attr, scalars, algorithm"
        ),
        "torch.ops.mkldnn._reorder_convolution_weight.default": (
            "padding, stride, dilation, groups, input_size"
        ),
        "torch.ops.mkldnn._reorder_convolution_transpose_weight.default": (
            "padding, output_padding, stride, dilation, groups, input_size"
        ),
    },
)
CUDNN = Use(
    "torch",
    "turbostream/engine/rewrite/tiny_decoder.py",
    "bias, addition and ReLU of the tiny decoder are passes of their own on a GPU",
    {
        "torch.cudnn_convolution_relu": None,
        "torch.cudnn_convolution_add_relu": None,
        "torch.ops.aten.cudnn_convolution_relu.default": (
            "weight, bias, stride, padding, dilation, groups"
        ),
        "torch.ops.aten.cudnn_convolution_add_relu.default": (
            "weight, z, alpha, bias, stride, padding, dilation, groups"
        ),
    },
)
TRACING = Use(
    "torch",
    "turbostream/engine/rewrite/recorder.py",
    "the UNet runs untraced on a CPU, and its modules cost a fifth of a small UNet's time",
    {
        "torch.utils._python_dispatch.TorchDispatchMode.__torch_dispatch__": (
            "func, types, args, kwargs"
        ),
        "torch.utils._pytree.tree_leaves": "tree",
        "torch.utils._pytree.tree_map": "func, tree",
        "torch._C.FunctionSchema.is_mutable": None,
    },
    {"torch._ops.OpOverload.__init__": ("_schema",)},
)
TIME_EMBEDDING = Use(
    "diffusers",
    "turbostream/engine/rewrite/folded.py",
    "the UNet computes its time embedding again for every frame",
    {
        "diffusers.UNet2DConditionModel.get_time_embed": "sample, timestep",
        "diffusers.UNet2DConditionModel.forward": (
            "sample, timestep, encoder_hidden_states, *, timestep_cond, return_dict"
        ),
    },
    {
        "diffusers.UNet2DConditionModel.__init__": ("time_embedding", "time_embed_act"),
        "diffusers.UNet2DConditionModel.forward": ("time_embedding", "time_embed_act"),
        "diffusers.models.resnet.ResnetBlock2D.__init__": (
            *("norm1", "norm2", "nonlinearity", "conv1", "conv2", "conv_shortcut"),
            *("output_scale_factor", "time_emb_proj", "time_embedding_norm", "skip_time_act"),
            *("upsample", "downsample"),
        ),
    },
)
LORA_BLOCKS = Use(
    "diffusers",
    "turbostream/engine/model/lora.py",
    "an SDXL LoRA whose blocks have the names of Stability's own code is refused",
    {
        "diffusers.loaders.lora_conversion_utils._maybe_map_sgm_blocks_to_diffusers": (
            "state_dict, unet_config"
        ),
    },
)
FUSED_PROJECTIONS = Use(
    "diffusers",
    "turbostream/engine/rewrite/folded.py",
    "query, key and value of the UNet's self attention are three products instead of one",
    {
        "diffusers.models.attention_processor.Attention.fuse_projections": "*, fuse",
        "diffusers.models.attention_processor.Attention.set_processor": "processor",
        "diffusers.models.attention_processor.AttnProcessor2_0": "",
        "diffusers.models.attention_processor.FusedAttnProcessor2_0": "",
    },
    {
        "diffusers.models.attention_processor.Attention.__init__": (
            *("is_cross_attention", "to_q", "to_k", "to_v"),
        ),
        "diffusers.models.attention_processor.Attention.set_processor": ("processor",),
        "diffusers.models.attention_processor.FusedAttnProcessor2_0.__call__": ("to_qkv",),
    },
)
END_OF_TRANSFORMER = Use(
    "diffusers",
    "turbostream/engine/rewrite/folded.py",
    "each transformer of the UNet copies its result into NCHW",
    {
        "diffusers.models.transformers.transformer_2d.Transformer2DModel"
        "._get_output_for_continuous_inputs": (
            "*, hidden_states, residual, batch_size, height, width, inner_dim"
        ),
    },
    {
        "diffusers.models.transformers.transformer_2d.Transformer2DModel.forward": (
            "_get_output_for_continuous_inputs",
        ),
        "diffusers.models.transformers.transformer_2d.Transformer2DModel.__init__": (
            *("is_input_continuous", "use_linear_projection"),
        ),
        "diffusers.models.transformers.transformer_2d.Transformer2DModel._init_continuous_input": (
            "proj_out",
        ),
    },
)
ENLARGEMENT = Use(
    "diffusers",
    "turbostream/engine/rewrite/upsampled.py",
    "the UNet's enlargements and the convolutions after them stay two steps",
    {"diffusers.models.upsampling.Upsample2D.forward": "hidden_states, output_size"},
    {"diffusers.models.upsampling.Upsample2D.__init__": ("conv", "interpolate", "norm")},
)
TINY_DECODER = Use(
    "diffusers",
    "turbostream/engine/rewrite/tiny_decoder.py",
    "the tiny decoder runs as diffusers has it, with bias, addition and ReLU as passes",
    {"diffusers.models.autoencoders.vae.AutoencoderTinyBlock": None},
    {
        "diffusers.models.autoencoders.vae.DecoderTiny.__init__": ("layers",),
        "diffusers.models.autoencoders.vae.DecoderTiny.forward": ("layers",),
        "diffusers.models.autoencoders.vae.AutoencoderTinyBlock.__init__": ("conv", "skip"),
    },
)
TINY_ENCODER = Use(
    "diffusers",
    "turbostream/engine/rewrite/tiny_encoder.py",
    "the tiny encoder runs as diffusers has it, with bias, addition and ReLU as passes",
    {"diffusers.models.autoencoders.vae.AutoencoderTinyBlock": None},
    {
        "diffusers.models.autoencoders.vae.EncoderTiny.__init__": ("layers",),
        "diffusers.models.autoencoders.vae.EncoderTiny.forward": ("layers",),
        "diffusers.models.autoencoders.vae.AutoencoderTinyBlock.__init__": ("conv", "skip"),
    },
)

# -- with nothing to fall back to ------------------------------------------------------------------

COMPILED = Use(
    "torch",
    "turbostream/engine/cuda/aot.py",
    "no code is compiled or loaded; the stream goes on with PyTorch's kernels, and the log says so",
    {
        "torch._C._aoti.AOTIModelPackageLoader.__init__": "arg0, arg1, arg2, arg3, arg4",
        "torch._C._aoti.AOTIModelPackageLoader.get_constant_fqns": "",
        "torch._C._aoti.AOTIModelPackageLoader.load_constants": (
            "constants_map, use_inactive, check_full_update, user_managed"
        ),
        "torch._C._aoti.AOTIModelPackageLoader.boxed_run": "inputs",
        "torch._inductor.aoti_compile_and_package": (
            "exported_program, *, package_path, inductor_configs"
        ),
        "torch._inductor.config.always_keep_tensor_constants": None,
        "torch._inductor.config.aot_inductor.package_constants_in_so": None,
        "torch._inductor.config.aot_inductor.compile_wrapper_opt_level": None,
        "torch._inductor.config.aot_inductor.custom_op_libs": None,
        "torch._inductor.config.aot_inductor.precompile_headers": None,
        "torch._inductor.config.compile_threads": None,
        "torch._inductor.config.cpp.vec_isa_ok": None,
    },
)
MODEL_PARTS = Use(
    "diffusers",
    "turbostream/engine/model",
    "no model can be opened",
    {"diffusers.EulerDiscreteScheduler.init_noise_sigma": None},
    {
        "diffusers.AutoencoderKL.__init__": ("decoder", "post_quant_conv"),
        "diffusers.AutoencoderTiny.__init__": ("decoder",),
        "diffusers.EulerDiscreteScheduler.__init__": ("alphas_cumprod",),
        "diffusers.EulerDiscreteScheduler.set_timesteps": ("sigmas", "timesteps"),
        "diffusers.StableDiffusionPipeline.__init__": ("vae_scale_factor",),
    },
)
ENCODERS = Use(
    "diffusers",
    "turbostream/engine/model/source_step.py",
    "no shot can start from a picture",
    {},
    {
        "diffusers.AutoencoderKL.__init__": ("encoder", "quant_conv"),
        "diffusers.AutoencoderTiny.__init__": ("encoder",),
        "diffusers.models.autoencoders.vae.EncoderTiny.__init__": ("layers",),
    },
)
DOWNLOAD_BARS = Use(
    "huggingface_hub",
    "turbostream/engine/weights/byte_counter.py",
    "bytes of a download are counted twice, or not at all",
    {"huggingface_hub.utils.tqdm": None},
    {
        "huggingface_hub.utils.tqdm.__init__": ("name",),
        "huggingface_hub.snapshot_download": ("huggingface_hub.snapshot_download.transfer",),
    },
)
HUB_CACHE = Use(
    "huggingface_hub",
    "turbostream/engine/weights/hub.py",
    "a model in the cache is not found while the hub is unavailable",
    {
        "huggingface_hub.file_download.repo_folder_name": "*, repo_id, repo_type",
        "huggingface_hub.constants.HF_HUB_CACHE": None,
    },
)
HUB_CLIENT = Use(
    "httpx2",  # not pinned: huggingface_hub requires it
    "turbostream/engine/weights",
    "a hub or proxy that cannot be reached is a stack trace instead of a sentence",
    {f"httpx2.{name}": None for name in ("Client", "HTTPError", "InvalidURL", "LocalProtocolError")}
    | {"httpx2.UnsupportedProtocol": None},
)
OSC_TYPES = Use(
    "python-osc",
    "turbostream/control/osc_messages.py",
    "no OSC message can be decoded",
    {
        "pythonosc.parsing.osc_types.ParseError": None,
        **{
            f"pythonosc.parsing.osc_types.get_{name}": "dgram, start_index"
            for name in ("int", "int64", "float", "double", "string", "date")
        },
    },
)
JPEG = Use(
    "Pillow",
    "turbostream/engine/jpeg.py",
    "JPEGs are encoded with the GIL held, and threads that encode wait for each other",
    {},
    {"PIL.ImageFile._encode_tile": ("encode_to_file",), "PIL.ImageFile._save": ("fileno",)},
)
VIEWER_SOCKET = Use(
    "gevent",
    "turbostream/web/live/viewer_socket.py",
    "no viewer can be served",
    {
        "gevent.socket.socket._sock": None,
        "gevent.core.loop.io": "fd, events",
    },
)
CONTROL_SOCKET = Use(
    "gevent",
    "turbostream/web/live/control_socket.py",
    "no controller can connect; changes by HTTP go on working",
    {"gevent.core.loop.io": "fd, events"},
)
WAKEUP = Use(
    "gevent",
    "turbostream/web/live/wakeup.py",
    "the server does not start",
    {
        "gevent.hub.get_hub": None,
        "gevent.core.loop.async_": "",
        "gevent.libev.corecext.async_.send": "",
    },
)

ALL = tuple(value for value in list(vars().values()) if isinstance(value, Use))
