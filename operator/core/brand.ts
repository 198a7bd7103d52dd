declare const brand: unique symbol;

/** A string that only its own constructor makes, so that a name can never be passed where a uid is due. */
export type Brand<T, B extends string> = T & { readonly [brand]: B };

export type PodUid = Brand<string, 'PodUid'>;
export type ServiceAccountUid = Brand<string, 'ServiceAccountUid'>;
export type NodeUid = Brand<string, 'NodeUid'>;
export type BindingUid = Brand<string, 'BindingUid'>;
export type PolicyUid = Brand<string, 'PolicyUid'>;

/** Content hash of a resource or of a whole snapshot, lower-case hex. */
export type ContentHash = Brand<string, 'ContentHash'>;

/** Stable hash of a string; given as an argument so that core needs no node:crypto. */
export type Hash = (text: string) => ContentHash;
