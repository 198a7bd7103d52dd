/** Targets that got past a metadata proxy or a filter of paths somewhere, or were tried. */
const v1 = '/computeMetadata/v1';
const secret = 'instance/attributes/kube-env';
const token = 'instance/service-accounts/default/token';

export const knownAttacks: readonly string[] = [
  // Another spelling of the path.
  ...[`/computeMetadata//v1/${secret}`, `//computeMetadata/v1/${secret}`, `${v1}//${secret}`, `${v1}/./${secret}`],
  ...[`${v1}/project/../${secret}`, `/x/..${v1}/${secret}`, `${v1}/instance/attributes/team/../kube-env`],
  ...[`${v1}/project/%2e%2e/${secret}`, `${v1}/project/%2E./${secret}`, `${v1}/project/%252e%252e/${secret}`],
  ...[`${v1}/project/..%2f${secret}`, `${v1}/project%2f..%2f${secret}`, `${v1}/instance%2fattributes%2fkube-env`],
  ...[
    `${v1}/instance%252fattributes%252fkube-env`,
    `${v1}/instance\\attributes\\kube-env`,
    `${v1}/instance%5cattributes%5ckube-env`,
  ],
  ...[
    `${v1}/project/..;/${secret}`,
    `${v1}/instance;x=y/attributes/kube-env`,
    `${v1}/${secret};x`,
    `${v1}/${secret}%3bx`,
  ],
  ...[`${v1}/${secret}%00`, `${v1}/${secret}%00.txt`, `${v1}/${secret}%20`, `${v1}/${secret}%09`, `${v1}/${secret}.`],
  ...[`${v1}/${secret}#`, `${v1}/project/project-id#/../../${secret}`, `${v1}/instance/attributes/kube%2denv`],
  ...[
    `${v1}/instance/attributes/%6bube-env`,
    `${v1}/instance/attributes/%256bube-env`,
    `${v1}/instance/attributes/KUBE-ENV`,
  ],
  ...[`${v1}/Instance/Attributes/kube-env`, `/COMPUTEMETADATA/V1/${secret}`, `/computemetadata/v1/${secret}`],
  ...[`${v1}/instance/attributes/%c0%ae%c0%ae/attributes/kube-env`, `${v1}/instance/attributes/%u006bube-env`],
  ...[
    `${v1}/instance/attributes/kube-env%2f`,
    `${v1}/instance/attributes//kube-env`,
    `${v1}/instance/attributes/kube-env//`,
  ],
  ...[`%2fcomputeMetadata/v1/${secret}`, `/%63omputeMetadata/v1/${secret}`, `/computeMetadata%2fv1/${secret}`],
  // Another form of the target.
  ...[
    `http://metadata.google.internal${v1}/${secret}`,
    `http://a@b${v1}/${secret}`,
    `//metadata.google.internal${v1}/${secret}`,
  ],
  ...[`metadata.google.internal:80`, '*', `http:${v1}/${secret}`, `file://${v1}/${secret}`, `${v1.slice(1)}/${secret}`],
  // Another API.
  ...[`/computeMetadata/v1beta1/${secret}`, `/computeMetadata/V1BETA1/${secret}`, `/computemetadata/v1beta1/${secret}`],
  ...[
    '/0.1/meta-data/attributes/kube-env',
    '/0.1/meta-data/service-accounts/default/acquire',
    '/0.1/meta-data/auth-token',
  ],
  ...[
    `/0.1/${secret}`,
    '/0.1/meta-data/../meta-data/attributes/kube-env',
    '/0.1/META-DATA/attributes/kube-env',
    `/latest/meta-data/`,
  ],
  ...[
    `/computeMetadata/v2/${secret}`,
    `/computeMetadata/v1alpha1/${secret}`,
    `/computeMetadata/v1/../v1beta1/${secret}`,
  ],
  // A document of an ancestor, and the spelling of its switch.
  ...[`${v1}/?recursive=true`, `${v1}/instance/?recursive=true`, `${v1}/instance/attributes/?recursive=true&alt=text`],
  ...[
    `${v1}/instance/?%72ecursive=true`,
    `${v1}/instance/?recursive=%74rue`,
    `${v1}/instance/?recursive=false&recursive=true`,
  ],
  ...[
    `${v1}/instance/?recursive=true&recursive=false`,
    `${v1}/instance/?RECURSIVE=true`,
    `${v1}/instance/?recursive=TRUE`,
  ],
  ...[`${v1}/instance/?x;recursive=true`, `${v1}/instance/?x=1;recursive=true`, `${v1}/instance?recursive=true`],
  ...[
    `${v1}/instance/attributes/?alt=json`,
    `${v1}/instance/attributes/?recursive=true&wait_for_change=true&last_etag=NONE`,
  ],
  ...[
    `${v1}/instance/?recursive=true%26x`,
    `${v1}/instance/?%2572ecursive=true`,
    `${v1}/instance/?recursive`,
    `${v1}/instance/?recursive=1`,
  ],
  // Another name of the account.
  ...[
    `${v1}/${token}`,
    `${v1}/${token}/`,
    `${v1}/instance/service-accounts/DEFAULT/token`,
    `${v1}/instance/service-accounts/default/TOKEN`,
  ],
  ...[`${v1}/instance/service-accounts/vm-account@developer.gserviceaccount.com/token`],
  ...[`${v1}/instance/service-accounts/vm-account%40developer.gserviceaccount.com/token`],
  ...[`${v1}/instance/service-accounts/vm-account%2540developer.gserviceaccount.com/token`],
  ...[`${v1}/instance/service-accounts/api%40my-project.iam.gserviceaccount.com/identity?audience=a`],
  ...[`${v1}/instance/service-accounts/default/identity?audience=a&audience=b`, `${v1}/${token}?scopes=a&scopes=b`],
  ...[`${v1}/instance/service-accounts/default/identity?audience=a%26format=full&format=standard`],
  // More than one request in one.
  ...[
    `${v1}/project/project-id HTTP/1.1\r\nX: y`,
    `${v1}/project/project-id%0d%0aX:%20y`,
    `${v1}/project/project-id\n/${secret}`,
  ],
];
