/** What the state directory of an image is called when no other is named: the image's own name, and this behind it. */
export const STATE_ENDING = '.cloudx'

/** The state directory of an image when no other is named. */
export function stateBeside(imagePath: string): string {
  return `${imagePath}${STATE_ENDING}`
}
