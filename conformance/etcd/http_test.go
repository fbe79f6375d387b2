package etcd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/discover/announce"
	"github.com/divisi-go/divisi/discover/discovertest"
)

// post asks the store by HTTP, as curl does, and returns the answer.
func post(t *testing.T, client *http.Client, url, body string, header ...string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	said := strings.ReplaceAll(string(text), `, "`, `,"`) // the encoder puts spaces there, or not
	return fmt.Sprint(answer.StatusCode, " ", strings.ReplaceAll(said, `": `, `":`), err)
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// json: keys, leases, transactions, watches and what is wrong, as JSON by HTTP.
func (p *program) json(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute}
	key := fmt.Sprintf(`"key":"%s"`, b64("j"))
	for _, step := range []struct{ path, body, says string }{
		{"kv/put", `{` + key + `,"value":"` + b64("1") + `"}`, `200 {"header":{"cluster_id":"`},
		{"kv/range", `{` + key + `}`, `"value":"` + b64("1") + `"}],"count":"1"}`},
		{"kv/txn", `{"compare":[{"target":"VERSION","result":"EQUAL",` + key + `,"version":1}],"success":[{"request_put":{` + key + `}}]}`, `"succeeded":true`},
		{"kv/deleterange", `{` + key + `}`, `"deleted":"1"`},
		{"lease/grant", `{"ID":77,"TTL":600}`, `"ID":"77","TTL":"600"`},
		{"lease/keepalive", `{"ID":77}`, `{"result":{"header":`},
		{"lease/keepalive", `{"ID":0}`, `200 {"result":{"header":`}, // of no lease: it has no time to live
		{"lease/timetolive", `{"ID":77}`, `"grantedTTL":"600"`},
		{"lease/revoke", `{"ID":77}`, `200 {"header"`},
		{"lock/lock", `{"name":"` + b64("jl") + `"}`, `"key":"`},
		{"cluster/member/list", `{}`, `"name":"default"`},
		{"maintenance/status", `{}`, `"leader":"`},
		{"auth/status", `{}`, `"authRevision":"`},
		{"kv/put", `{}`, `400 {"code":3,"message":"etcdserver: key is not provided"`},
		{"kv/put", `{`, `400 {"code":3,`},
		{"kv/put", `{` + key + `,"value":"` + strings.Repeat("A", 8<<20) + `"}`, `request body too large`},
		{"nothing", `{}`, `404 `},
	} {
		if said := post(t, client, p.url+"/v3/"+step.path, step.body); !strings.Contains(said, step.says) {
			t.Errorf("/v3/%s of %.200s is %.500s, and does not say %s", step.path, step.body, said, step.says)
		}
	}
	said := post(t, client, p.url+"/v3/kv/put", `{`+key+`}`, "Origin", p.url)
	if !strings.HasPrefix(said, "403 cannot answer a browser") {
		t.Errorf("a browser is told %s", said)
	}
	p.jsonWatch(t, client)
}

// jsonWatch watches a key by HTTP: the request ends, and events come.
func (p *program) jsonWatch(t *testing.T, client *http.Client) {
	t.Helper()
	answer, err := client.Post(p.url+"/v3/watch", "application/json", strings.NewReader(`{"create_request":{"key":"`+b64("jw")+`"}}`))
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for i, want := range []string{`"created"`, b64("seen")} {
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Errorf("line %d of a watch is %q and not %q: %v", i, lines.Text(), want, lines.Err())
			return
		}
		p.tool(t, "put", "jw", "seen")
	}
}

// jsonUser: who is asked for a token, and shows it, is its user.
func (p *program) jsonUser(t *testing.T, client *http.Client, name, password string) {
	t.Helper()
	read := fmt.Sprintf(`{"key":"%s"}`, b64("a"))
	if said := post(t, client, p.url+"/v3/kv/range", read); !strings.Contains(said, "user name is empty") {
		t.Errorf("nobody in particular is told %s", said)
	}
	answer, err := client.Get(p.url + "/readyz")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("where there are users, /readyz is %v: %v", answer, err)
	} else {
		_ = answer.Body.Close()
	}
	said := post(t, client, p.url+"/v3/auth/authenticate", fmt.Sprintf(`{"name":"%s","password":"%s"}`, name, password))
	var given struct{ Token string }
	_, body, _ := strings.Cut(said, " ")
	if err := json.NewDecoder(bytes.NewBufferString(body)).Decode(&given); err != nil || given.Token == "" {
		t.Errorf("%s gets no token: %s", name, said)
	}
	if said := post(t, client, p.url+"/v3/kv/range", read, "Authorization", given.Token); !strings.Contains(said, `"kvs":[`) {
		t.Errorf("%s is told %s", name, said)
	}
	if said := post(t, client, p.url+"/v3/kv/put", read, "Authorization", given.Token); !strings.Contains(said, "permission denied") {
		t.Errorf("%s may write: %s", name, said)
	}
	if said := post(t, client, p.url+"/v3/kv/range", read, "Authorization", "x"+given.Token); !strings.Contains(said, "invalid auth token") {
		t.Errorf("a token that is none is taken: %s", said)
	}
}

// source: a value of package discover follows a key, and one is announced, without a client of etcd's.
func (p *program) source(t *testing.T) {
	t.Helper()
	key := sourceKey{t, p.url, "source of " + p.url}
	discovertest.Conform(t, discover.Etcd{Addresses: []string{p.url}, Key: key.name, Wait: time.Second}, key)

	a := &announce.Announcement{To: announce.Etcd{Address: p.url}, Key: "announced", Value: []byte("here"), OnError: func(err error) { t.Error(err) }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx) }()
	err := a.Ready(t.Context())
	if got := p.tool(t, "get", "announced", "--print-value-only"); err != nil || got != "here\n" {
		t.Errorf("what is announced is %q, %v", got, err)
	}
	cancel()
	err = <-ended
	if got := p.tool(t, "get", "announced"); err != nil || got != "" {
		t.Errorf("what was announced is %q, %v", got, err)
	}
}

// sourceKey is a key of a store, by HTTP.
type sourceKey struct {
	t         *testing.T
	url, name string
}

func (k sourceKey) Put(value string) error { return k.post("put", `,"value":"`+b64(value)+`"}`) }
func (k sourceKey) Delete() error          { return k.post("deleterange", "}") }

func (k sourceKey) post(verb, rest string) error {
	said := post(k.t, http.DefaultClient, k.url+"/v3/kv/"+verb, `{"key":"`+b64(k.name)+`"`+rest)
	if !strings.HasPrefix(said, "200 ") {
		return errors.New(said)
	}
	return nil
}
