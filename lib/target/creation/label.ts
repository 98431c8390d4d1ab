/** The label of a drive when none is given; it is also the name of its partition. */
export const DEFAULT_LABEL = 'CLOUD-X'

export { labelProblem } from '../../filesystem/file-name.js'
