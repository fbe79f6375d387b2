package announce

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds an answer of a store, in bytes.
const maxAnswer = 1 << 20

// Etcd announces in etcd, or in a server that speaks the same API, such as divisi store serve. It uses the API's JSON form, so it
// links nothing of etcd's.
type Etcd struct {
	// Address is where etcd is, "host:port" or a URL. If it is empty, it is the first one of ETCDCTL_ENDPOINTS, and without that
	// 127.0.0.1:2379.
	Address string
	// Token is that of a user, by which etcd knows who asks; if it is empty nobody in particular does.
	Token string
	// Client sends the requests; if it is nil, [http.DefaultClient] does.
	Client *http.Client
}

var _ Store = Etcd{}

// Announce puts a key with a lease, whose time to live is rounded up to whole seconds.
func (e Etcd) Announce(ctx context.Context, key string, value []byte, ttl time.Duration) (Lease, error) {
	var granted struct {
		ID string
	}
	err := e.call(ctx, "lease/grant", map[string]any{"TTL": int64((ttl + time.Second - 1) / time.Second)}, &granted)
	if err != nil {
		return nil, err
	}
	lease := etcdLease{e, granted.ID}
	err = e.call(ctx, "kv/put", map[string]any{"key": []byte(key), "value": value, "lease": lease.id}, nil)
	if err != nil {
		return nil, errors.Join(err, lease.End(ctx))
	}
	return lease, nil
}

type etcdLease struct {
	of Etcd
	id string
}

func (l etcdLease) Renew(ctx context.Context) error {
	var kept struct {
		Result struct {
			TTL string
		}
	}
	err := l.of.call(ctx, "lease/keepalive", map[string]any{"ID": l.id}, &kept)
	if err == nil && (kept.Result.TTL == "" || kept.Result.TTL == "0") {
		return ErrLost
	}
	return err
}

func (l etcdLease) End(ctx context.Context) error {
	return l.of.call(ctx, "lease/revoke", map[string]any{"ID": l.id}, nil)
}

func (e Etcd) call(ctx context.Context, path string, ask map[string]any, answer any) error {
	first, _, _ := strings.Cut(os.Getenv("ETCDCTL_ENDPOINTS"), ",")
	text, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if e.Token != "" {
		header.Set("Authorization", e.Token)
	}
	return send(ctx, e.Client, http.MethodPost, cmp.Or(e.Address, first, "127.0.0.1:2379"), "v3/"+path, nil, header, text, answer)
}

// Consul announces in Consul, or in a server that speaks the same API, by a key of a session, which goes with the session.
type Consul struct {
	// Address is where Consul is, "host:port" or a URL. If it is empty, it is what CONSUL_HTTP_ADDR says, and without that
	// 127.0.0.1:8500.
	Address string
	// Token is sent with each request; if it is empty, it is what CONSUL_HTTP_TOKEN says.
	Token string
	// Client sends the requests; if it is nil, [http.DefaultClient] does.
	Client *http.Client
}

var _ Store = Consul{}

// shortest is the shortest time to live of a session.
const shortest = 10 * time.Second

// Announce sets a key with a session. Consul takes ten seconds at least for its time to live, and up to twice of it to see that
// it is over.
func (c Consul) Announce(ctx context.Context, key string, value []byte, ttl time.Duration) (Lease, error) {
	ask, err := json.Marshal(map[string]string{
		"Name": key, "TTL": strconv.FormatFloat(max(ttl, shortest).Seconds(), 'f', -1, 64) + "s", "Behavior": "delete", "LockDelay": "0s",
	})
	if err != nil {
		return nil, err
	}
	var created struct {
		ID string
	}
	err = c.put(ctx, "session/create", nil, ask, &created)
	if err != nil {
		return nil, err
	}
	lease := consulLease{c, created.ID}
	acquired := false
	err = c.put(ctx, "kv/"+key, url.Values{"acquire": {created.ID}}, value, &acquired)
	if err == nil && !acquired {
		err = errors.New("another session has the key")
	}
	if err != nil {
		return nil, errors.Join(err, lease.End(ctx))
	}
	return lease, nil
}

type consulLease struct {
	of Consul
	id string
}

func (l consulLease) Renew(ctx context.Context) error {
	err := l.of.put(ctx, "session/renew/"+l.id, nil, nil, nil)
	var refused *refusal
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return ErrLost
	}
	return err
}

func (l consulLease) End(ctx context.Context) error {
	return l.of.put(ctx, "session/destroy/"+l.id, nil, nil, nil)
}

func (c Consul) put(ctx context.Context, path string, query url.Values, body []byte, answer any) error {
	header := http.Header{}
	if token := cmp.Or(c.Token, os.Getenv("CONSUL_HTTP_TOKEN")); token != "" {
		header.Set("X-Consul-Token", token)
	}
	return send(ctx, c.Client, http.MethodPut, cmp.Or(c.Address, os.Getenv("CONSUL_HTTP_ADDR"), "127.0.0.1:8500"), "v1/"+path, query, header, body, answer)
}

// refusal is an answer that is none.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// send sends a request, and decodes the answer where somebody wants it.
func send(ctx context.Context, client *http.Client, method, address, path string, query url.Values, header http.Header, body []byte, answer any) error {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("%q is no address: %w", address, err)
	}
	base = base.JoinPath("/")
	base.Path += path
	base.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, base.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = header
	response, err := cmp.Or(client, http.DefaultClient).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		line, _, _ := strings.Cut(strings.TrimSpace(string(text[:min(len(text), 200)])), "\n")
		return &refusal{response.StatusCode, strings.TrimSpace(response.Status + " " + line)}
	case answer == nil:
		return nil
	}
	err = json.Unmarshal(text, answer)
	if err != nil {
		return fmt.Errorf("the answer of %s is not what it should be: %w", base.Host, err)
	}
	return nil
}
