import { createHash } from 'node:crypto';

export type Permission = 'iam.serviceAccounts.getAccessToken' | 'iam.serviceAccounts.getOpenIdToken';

/** Those of Google's predefined roles that let somebody act as a service account. */
const permissionsOf: Readonly<Record<string, readonly Permission[]>> = {
  'roles/iam.workloadIdentityUser': ['iam.serviceAccounts.getAccessToken', 'iam.serviceAccounts.getOpenIdToken'],
  'roles/iam.serviceAccountTokenCreator': ['iam.serviceAccounts.getAccessToken', 'iam.serviceAccounts.getOpenIdToken'],
  'roles/iam.serviceAccountOpenIdTokenCreator': ['iam.serviceAccounts.getOpenIdToken'],
};

interface ServiceAccount {
  readonly email: string;
  readonly uniqueId: string;
  /** Role → members. */
  readonly policy: Map<string, Set<string>>;
}

/** Service accounts and the IAM policy on each. */
export class ServiceAccountPolicies {
  readonly #accounts = new Map<string, ServiceAccount>();

  /** Does nothing if it exists. */
  add(email: string): void {
    if (this.#accounts.has(email)) return;
    this.#accounts.set(email, { email, uniqueId: uniqueIdOf(email), policy: new Map() });
  }

  remove(email: string): void {
    this.#accounts.delete(email);
  }

  /** Creates the account if need be. Throws on a role of which it is not known what it permits. */
  grant(email: string, role: string, member: string): void {
    if (permissionsOf[role] === undefined) throw new Error(`'${role}' lets nobody act as a service account.`);
    this.add(email);
    const policy = this.#accounts.get(email)?.policy;
    policy?.set(role, (policy.get(role) ?? new Set()).add(member));
  }

  revoke(email: string, role: string, member: string): void {
    this.#accounts.get(email)?.policy.get(role)?.delete(member);
  }

  /** By e-mail or unique id. */
  find(account: string): { readonly email: string; readonly uniqueId: string } | undefined {
    return this.#accounts.get(account) ?? [...this.#accounts.values()].find(({ uniqueId }) => uniqueId === account);
  }

  /** Whether one of `members` (the caller and the sets it is in) holds a role with the permission. */
  allows(email: string, permission: Permission, members: readonly string[]): boolean {
    const policy = this.#accounts.get(email)?.policy ?? new Map<string, Set<string>>();
    return [...policy].some(
      ([role, holders]) =>
        (permissionsOf[role] ?? []).includes(permission) && members.some((member) => holders.has(member)),
    );
  }
}

/** 21 digits, the same in every run. */
function uniqueIdOf(email: string): string {
  const number = BigInt(`0x${createHash('sha256').update(email).digest('hex').slice(0, 32)}`);
  return `1${(number % 10n ** 20n).toString().padStart(20, '0')}`;
}
