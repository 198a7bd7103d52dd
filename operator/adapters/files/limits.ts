/** Bounds on files nobody has looked at. What Kubernetes itself accepts stays well within them. */
export const limits = {
  fileBytes: 2 * 1024 * 1024,
  folderBytes: 32 * 1024 * 1024,
  files: 1_000,
  documentsPerFile: 1_000,
  /** Mappings and lists inside each other; parsing recurses. */
  depth: 64,
  /** Values of one document after its aliases are expanded. */
  values: 50_000,
  /** Problems reported; more would hide the first ones. */
  problems: 100,
} as const;
