// Google's Go libraries, asked in the words of ../contract.ts: a JSON object per line in, one per line out.
//
// Nothing is configured: compute/metadata, auth/credentials and storage find the metadata server by themselves.
// compute/metadata keeps the project's and the instance's id and whether it is on GCE for the life of the process,
// whatever objects are made anew.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/idtoken"
	"cloud.google.com/go/compute/metadata"
	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// Cloud Storage's client would repeat a failed request without end.
const operationTimeout = 60 * time.Second

type request struct {
	ID        int      `json:"id"`
	Operation string   `json:"operation"`
	Fresh     bool     `json:"fresh"`
	Scopes    []string `json:"scopes"`
	Audience  string   `json:"audience"`
	Endpoint  string   `json:"endpoint"`
}

type reply struct {
	ID    int    `json:"id"`
	OK    bool   `json:"ok"`
	Value string `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// What a process that lives long keeps.
type session struct {
	metadata *metadata.Client
	access   map[string]*auth.Credentials
	identity map[string]*auth.Credentials
	storage  map[string]*storage.Client
}

func newSession() *session {
	return &session{
		// The package's own client would keep its connections for the life of the process.
		metadata: metadata.NewWithOptions(&metadata.Options{}),
		access:   map[string]*auth.Credentials{},
		identity: map[string]*auth.Credentials{},
		storage:  map[string]*storage.Client{},
	}
}

func keep[T any](kept map[string]T, key string, make func() (T, error)) (T, error) {
	if value, found := kept[key]; found {
		return value, nil
	}
	value, err := make()
	if err == nil {
		kept[key] = value
	}
	return value, err
}

func (s *session) accessCredentials(scopes []string) (*auth.Credentials, error) {
	return keep(s.access, strings.Join(scopes, " "), func() (*auth.Credentials, error) {
		return credentials.DetectDefault(&credentials.DetectOptions{Scopes: scopes})
	})
}

func (s *session) identityCredentials(audience string) (*auth.Credentials, error) {
	return keep(s.identity, audience, func() (*auth.Credentials, error) {
		return idtoken.NewCredentials(&idtoken.Options{Audience: audience})
	})
}

func tokenOf(ctx context.Context, credentials *auth.Credentials, err error) (string, error) {
	if err != nil {
		return "", err
	}
	token, err := credentials.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.Value, nil
}

func (s *session) universeDomain(ctx context.Context) (string, error) {
	credentials, err := s.accessCredentials(nil)
	if err != nil {
		return "", err
	}
	return credentials.UniverseDomain(ctx)
}

func (s *session) listBuckets(ctx context.Context, endpoint string) (string, error) {
	client, err := keep(s.storage, endpoint, func() (*storage.Client, error) {
		// Not STORAGE_EMULATOR_HOST: that would send no token. The client outlives this request's context.
		return storage.NewClient(context.Background(), option.WithEndpoint(endpoint+"/storage/v1/"))
	})
	if err != nil {
		return "", err
	}
	project, err := s.metadata.ProjectIDWithContext(ctx)
	if err != nil {
		return "", err
	}
	names := []string{}
	for buckets := client.Buckets(ctx, project); ; {
		bucket, err := buckets.Next()
		if errors.Is(err, iterator.Done) {
			return strings.Join(names, ","), nil
		}
		if err != nil {
			return "", err
		}
		names = append(names, bucket.Name)
	}
}

func (s *session) perform(ctx context.Context, asked request) (string, error) {
	switch asked.Operation {
	case "on-gce":
		return fmt.Sprint(metadata.OnGCEWithContext(ctx)), nil
	case "project-id":
		return s.metadata.ProjectIDWithContext(ctx)
	case "zone":
		return s.metadata.ZoneWithContext(ctx)
	case "email":
		return s.metadata.EmailWithContext(ctx, "default")
	case "access-token":
		credentials, err := s.accessCredentials(asked.Scopes)
		return tokenOf(ctx, credentials, err)
	case "identity-token":
		credentials, err := s.identityCredentials(asked.Audience)
		return tokenOf(ctx, credentials, err)
	case "universe-domain":
		return s.universeDomain(ctx)
	case "list-buckets":
		return s.listBuckets(ctx, asked.Endpoint)
	default:
		return "", fmt.Errorf("unknown operation %q", asked.Operation)
	}
}

func (s *session) answer(asked request) reply {
	ctx, cancel := context.WithTimeout(context.Background(), operationTimeout)
	defer cancel()
	value, err := s.perform(ctx, asked)
	if err != nil {
		return reply{ID: asked.ID, Error: describe(err)}
	}
	return reply{ID: asked.ID, OK: true, Value: value}
}

// The innermost error has the type that tells something; the outermost has the whole text.
func describe(err error) string {
	cause := err
	for inner := errors.Unwrap(cause); inner != nil; inner = errors.Unwrap(cause) {
		cause = inner
	}
	return fmt.Sprintf("%s: %v", strings.TrimPrefix(fmt.Sprintf("%T", cause), "*"), err)
}

func versions() map[string]string {
	wanted := map[string]bool{
		"cloud.google.com/go/auth": true, "cloud.google.com/go/compute/metadata": true,
		"cloud.google.com/go/storage": true, "google.golang.org/api": true,
	}
	found := map[string]string{}
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if wanted[module.Path] {
			found[module.Path] = strings.TrimPrefix(module.Version, "v")
		}
	}
	return found
}

func main() {
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	if len(os.Args) == 2 && os.Args[1] == "--versions" {
		fail(output.Encode(versions()))
		return
	}
	kept := newSession()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked request
		fail(json.Unmarshal(lines.Bytes(), &asked))
		if asked.Fresh {
			kept = newSession()
		}
		fail(output.Encode(kept.answer(asked)))
	}
	fail(lines.Err())
}

// Only the conversation itself can fail so: what an operation gives is in its reply.
func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
