/** What a new file system shall hold. Names are normalised and have been checked. */
export type TreeNode<S> = FileNode<S> | DirectoryNode<S>

export interface FileNode<S> {
  readonly name: string
  readonly lengthBytes: number
  readonly times: Times
  /** Where the content comes from, for whoever writes it. */
  readonly source: S
}

export interface DirectoryNode<S> {
  readonly name: string
  readonly times: Times
  readonly children: readonly TreeNode<S>[]
}

/** Milliseconds since 1970 UTC. */
export interface Times {
  readonly createdMs: number
  readonly modifiedMs: number
  readonly accessedMs: number
}

export function isDirectory<S>(node: TreeNode<S>): node is DirectoryNode<S> {
  return 'children' in node
}
