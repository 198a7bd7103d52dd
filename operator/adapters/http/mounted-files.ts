import { open, readFile, rename, stat } from 'node:fs/promises';
import { MetaveilError } from '../../core/errors.ts';
import type { Credentials, LastGoodFile } from '../../nodeapi/client/ports.ts';

/** A projected token and a CA bundle have a few KiB; more is a mistake in the mount. */
const maxBytes = 1024 * 1024;

/** A mounted file, read again only when it was replaced. */
class MountedFile {
  readonly #path: string;
  #seen: { readonly stamp: string; readonly text: string } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<string> {
    try {
      // Kubelet swaps a symbolic link: another inode, another time.
      const { ino, mtimeMs, size } = await stat(this.#path);
      const stamp = `${ino} ${mtimeMs} ${size}`;
      if (this.#seen?.stamp === stamp) return this.#seen.text;
      if (size > maxBytes) throw new MetaveilError('invalid-configuration', `${this.#path}: larger than ${maxBytes}`);
      const text = (await readFile(this.#path, 'utf8')).trim();
      this.#seen = { stamp, text };
      return text;
    } catch (error) {
      if (error instanceof MetaveilError) throw error;
      throw new MetaveilError('invalid-configuration', `${this.#path} cannot be read`, { cause: error });
    }
  }
}

/** Token and CA bundle as kubelet mounts them. */
export class MountedCredentials implements Credentials {
  readonly #token: MountedFile;
  readonly #caBundle: MountedFile;

  constructor(paths: { readonly token: string; readonly caBundle: string }) {
    this.#token = new MountedFile(paths.token);
    this.#caBundle = new MountedFile(paths.caBundle);
  }

  token(): Promise<string> {
    return this.#token.read();
  }

  caBundle(): Promise<string> {
    return this.#caBundle.read();
  }
}

/**
 * The last-good snapshot in an emptyDir: written beside and renamed, so that a crash leaves the old or the new one.
 * It counts for the boot of the host that it was written in. The folder outlives a reboot and so do the pods, but they
 * get other addresses, and one pod's address may be another's now.
 */
export class SnapshotFile implements LastGoodFile {
  readonly #path: string;
  readonly #boot: string;

  /** `boot`: the kernel's id of this boot, without line breaks. */
  constructor(path: string, boot: string) {
    this.#path = path;
    this.#boot = boot;
  }

  async read(): Promise<string | undefined> {
    try {
      const text = await readFile(this.#path, 'utf8');
      const head = `${this.#boot}\n`;
      return text.startsWith(head) ? text.slice(head.length) : undefined;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async write(text: string): Promise<void> {
    const beside = `${this.#path}.new`;
    const file = await open(beside, 'w', 0o600);
    try {
      await file.writeFile(`${this.#boot}\n${text}`);
    } finally {
      await file.close();
    }
    await rename(beside, this.#path);
  }
}
