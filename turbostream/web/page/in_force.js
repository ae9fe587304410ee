/** The value in force of a parameter, as far as the page knows it. Pure. */

/**
 * `scene`: as the server reports it, or null; `own`: {name: value} of what is no part of it. undefined for a
 * parameter that has no value, and for the phase, which moves by itself.
 */
export function inForce(name, scene, own = {}) {
  if (name in own) return own[name];
  if (!scene) return undefined;
  const weight = /^weight_(\d)$/.exec(name);
  if (weight) return scene.prompts?.[Number(weight[1]) - 1]?.weight;
  const lora = /^lora_(.+)$/.exec(name);
  if (lora) return scene.adapters?.[lora[1]];
  switch (name) {
    case 'freeze': return scene.motion === 'hold' ? 'on' : 'off';
    case 'black': return scene.brightness === 0 ? 'on' : 'off';
    case 'phase': return undefined;
    default: return scene[name] ?? undefined;
  }
}
