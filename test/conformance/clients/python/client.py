"""google-auth and google-cloud-storage, asked in the words of ../contract.ts: a JSON object per line in, one per line out.

Nothing is configured: google.auth.default() and what builds on it find the metadata server by themselves. The library
has no public way to read the zone.
"""

import importlib.metadata
import json
import sys

import google.auth
import google.auth.compute_engine
import google.auth.exceptions
import google.auth.transport.requests
import google.cloud.storage
import google.oauth2.id_token


class Session:
    """What a process that lives long keeps: credentials, their tokens and one connection pool."""

    def __init__(self):
        self.request = google.auth.transport.requests.Request()
        self._kept = {}

    def _keep(self, key, make):
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def _default(self, scopes=None):
        key = ("default", *(scopes or ()))
        return self._keep(key, lambda: google.auth.default(scopes=scopes, request=self.request))

    def _refreshed(self, credentials):
        if not credentials.valid:
            credentials.refresh(self.request)
        return credentials

    def on_gce(self, _):
        try:
            credentials, _ = self._default()
        except google.auth.exceptions.DefaultCredentialsError:
            return "false"
        return "true" if isinstance(credentials, google.auth.compute_engine.Credentials) else "false"

    def project_id(self, _):
        _, project = self._default()
        if project is None:
            raise LookupError("google.auth.default() found no project")
        return project

    def email(self, _):
        credentials, _ = self._default()
        return self._refreshed(credentials).service_account_email

    def access_token(self, asked):
        credentials, _ = self._default(asked.get("scopes"))
        return self._refreshed(credentials).token

    def identity_token(self, asked):
        audience = asked["audience"]
        make = lambda: google.oauth2.id_token.fetch_id_token_credentials(audience, request=self.request)
        return self._refreshed(self._keep(("identity", audience), make)).token

    def universe_domain(self, _):
        credentials, _ = self._default()
        return credentials.universe_domain

    def list_buckets(self, asked):
        endpoint = asked["endpoint"]
        make = lambda: google.cloud.storage.Client(client_options={"api_endpoint": endpoint})
        client = self._keep(("storage", endpoint), make)
        return ",".join(bucket.name for bucket in client.list_buckets())


def answer(session, asked):
    try:
        value = getattr(session, asked["operation"].replace("-", "_"))(asked)
        return {"id": asked["id"], "ok": True, "value": value}
    except Exception as error:
        return {"id": asked["id"], "ok": False, "error": f"{type(error).__name__}: {error}"}


def main():
    session = Session()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("fresh"):
            session = Session()
        print(json.dumps(answer(session, asked)), flush=True)


def versions():
    return {name: importlib.metadata.version(name) for name in ("google-auth", "google-cloud-storage", "requests")}


if __name__ == "__main__":
    if sys.argv[1:] == ["--versions"]:
        print(json.dumps(versions()))
    else:
        main()
