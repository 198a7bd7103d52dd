/**
 * Runs in a process of its own: an unmodified google-auth-library client, bound to the source address of a pod.
 * Prints what it got as one line of JSON.
 */
import { globalAgent } from 'node:http';
import { GoogleAuth } from 'google-auth-library';

const [, , address = '', audience = ''] = process.argv;
// The library's transport opens its connections through the global agent: give it the pod's source address.
const createConnection = globalAgent.createConnection.bind(globalAgent);
globalAgent.createConnection = (options, callback) => createConnection({ ...options, localAddress: address }, callback);

const auth = new GoogleAuth({ scopes: ['https://www.googleapis.com/auth/cloud-platform'] });
const { token } = await (await auth.getClient()).getAccessToken();
const client = await auth.getIdTokenClient(audience);
const idToken = await client.idTokenProvider.fetchIdToken(audience);
process.stdout.write(`${JSON.stringify({ token, idToken, project: await auth.getProjectId() })}\n`);
