package discover

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

// Etcd is a source that has what etcd has under a key, or a server that speaks the same API, such as divisi store serve. It
// uses the API's JSON form, so it links nothing of etcd's.
type Etcd struct {
	// Addresses are where etcd is, each "host:port" or a URL; the first that answers is asked. If there are none, they are
	// what ETCDCTL_ENDPOINTS says, with commas between them, and without that 127.0.0.1:2379.
	Addresses []string
	// Key is the key. With Recurse, it is what all keys begin with.
	Key     string
	Recurse bool
	// User is who asks, with the password that is in PasswordFile, which is read for each request.
	User         string
	PasswordFile string
	// Wait is how long a request waits for a change: a second at least; 0 is a minute.
	Wait time.Duration
	// Stale is true where the answer of any member is good, also of one that has heard nothing from the others.
	Stale bool
	// Client sends the requests; if it is nil, [http.DefaultClient] does. It has what TLS needs.
	Client *http.Client
}

var _ Source = Etcd{}

func (e Etcd) String() string { return "etcd key " + e.Key }

// Get returns what etcd has. The version is the revision of the store at which it was read.
func (e Etcd) Get(ctx context.Context, after Version) (Data, error) {
	var failed []error
	for _, address := range e.addresses() {
		data, err := e.get(ctx, address, after)
		if err == nil || ctx.Err() != nil {
			return data, err
		}
		failed = append(failed, err)
	}
	if len(failed) == 1 {
		return Data{}, failed[0]
	}
	return Data{}, errors.Join(failed...)
}

func (e Etcd) addresses() []string {
	if len(e.Addresses) > 0 {
		return e.Addresses
	}
	return strings.Split(cmp.Or(os.Getenv("ETCDCTL_ENDPOINTS"), "127.0.0.1:2379"), ",")
}

func (e Etcd) get(ctx context.Context, address string, after Version) (Data, error) {
	c, err := e.connect(ctx, address)
	if err != nil {
		return Data{}, err
	}
	seen, malformed := strconv.ParseInt(string(after), 10, 64)
	if malformed != nil {
		return c.read(ctx, 0)
	}
	changed, err := c.changes(ctx, seen)
	switch {
	case err != nil:
		return Data{}, err
	case changed:
		return c.read(ctx, 0)
	}
	// What was there then is there now. A store that has forgotten it says so, and has it by another revision.
	data, err := c.read(ctx, seen)
	if err != nil && ctx.Err() == nil {
		return c.read(ctx, 0)
	}
	return data, err
}

// etcd is one address of an [Etcd].
type etcd struct {
	of    Etcd
	base  *url.URL
	token string // "" for nobody's
}

func (e Etcd) connect(ctx context.Context, address string) (etcd, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return etcd{}, &SourceError{Err: fmt.Errorf("%q is no address of etcd: %w", address, err), Permanent: true}
	}
	c := etcd{of: e, base: base}
	if e.User == "" {
		return c, nil
	}

	password, err := readUpTo(e.PasswordFile, 4096)
	if err != nil {
		return etcd{}, &SourceError{Err: fmt.Errorf("the password of the user %s: %w", e.User, err), Permanent: true}
	}
	var known struct{ Token string }
	who := struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}{e.User, strings.TrimSpace(string(password))}
	err = c.call(ctx, "v3/auth/authenticate", who, &known)
	c.token = known.Token
	return c, err
}

func (e Etcd) client() *http.Client { return cmp.Or(e.Client, http.DefaultClient) }

// keys are those that a request is about, as etcd's JSON has them.
type keys struct {
	Key          []byte `json:"key"`
	RangeEnd     []byte `json:"range_end,omitempty"`
	Serializable bool   `json:"serializable,omitempty"`
	Revision     int64  `json:"revision,omitempty,string"`
	Start        int64  `json:"start_revision,omitempty,string"`
}

// keys returns which keys the source is about. Of a prefix the end is the first key that is behind all that have it; "\x00" is
// the end of all keys, and also the first of them.
func (e Etcd) keys() keys {
	if !e.Recurse {
		return keys{Key: []byte(e.Key)}
	}
	first := []byte(cmp.Or(e.Key, "\x00"))
	end := bytes.TrimRight([]byte(e.Key), "\xff")
	if len(end) == 0 {
		return keys{Key: first, RangeEnd: []byte{0}}
	}
	end = bytes.Clone(end)
	end[len(end)-1]++
	return keys{Key: first, RangeEnd: end}
}

// revision is that of the store, in what it answers.
type revision struct {
	Revision int64 `json:"revision,string"`
}

// read returns what there is, or what there was at a revision that is not 0.
func (c etcd) read(ctx context.Context, at int64) (Data, error) {
	about := c.of.keys()
	about.Serializable, about.Revision = c.of.Stale, at
	var found struct {
		Header revision
		Kvs    []struct{ Key, Value []byte }
	}
	err := c.call(ctx, "v3/kv/range", about, &found)
	switch {
	case err != nil:
		return Data{}, err
	case found.Header.Revision <= 0:
		return Data{}, errors.New("the answer is not etcd's: it has no revision")
	}
	data := Data{Version: Version(strconv.FormatInt(cmp.Or(at, found.Header.Revision), 10))}
	for _, kv := range found.Kvs {
		data.Entries = append(data.Entries, Entry{string(kv.Key), kv.Value})
	}
	return data, nil
}

// call sends a request, and decodes the answer.
func (c etcd) call(ctx context.Context, path string, ask, answer any) error {
	request, err := c.request(ctx, path, ask)
	if err != nil {
		return err
	}
	response, body, err := exchange(c.of.client(), request, patience)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return problem(response, body)
	}
	err = json.Unmarshal(body, answer)
	if err != nil {
		return fmt.Errorf("the answer is not etcd's: %w", err)
	}
	return nil
}

func (c etcd) request(ctx context.Context, path string, ask any) (*http.Request, error) {
	text, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		request.Header.Set("Authorization", c.token)
	}
	return request, nil
}

// changes returns when something has changed since a revision, or false when it has waited.
func (c etcd) changes(ctx context.Context, since int64) (bool, error) {
	longest := max(cmp.Or(c.of.Wait, wait), time.Second)
	waiting, cancel := context.WithTimeoutCause(ctx, longest, errWaited)
	defer cancel()
	silent := time.AfterFunc(min(patience, longest), cancel) // it says at once that it watches
	defer silent.Stop()

	about := c.of.keys()
	about.Start = since + 1
	request, err := c.request(waiting, "v3/watch", map[string]keys{"create_request": about})
	if err != nil {
		return false, err
	}
	response, err := c.of.client().Do(request)
	if err == nil {
		defer response.Body.Close()
		var changed bool
		changed, err = watch(response, since, silent)
		if err == nil {
			return changed, nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case context.Cause(waiting) == errWaited:
		return false, nil
	case waiting.Err() != nil:
		return false, fmt.Errorf("it has not answered for %v", min(patience, longest))
	}
	return false, err
}

// errWaited is the cause of the end of a watch that has seen no change.
var errWaited = errors.New("nothing has changed")

// watch reads what a watch is told until there is a change, and stops a timer when it has begun. A revision before since is of
// another store, and a canceled watch of a past that is forgotten: both are a change.
func watch(response *http.Response, since int64, begun *time.Timer) (changed bool, err error) {
	body := io.LimitReader(response.Body, maxData)
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(body)
		if err != nil {
			return false, err
		}
		return false, problem(response, text)
	}
	for decoder := json.NewDecoder(body); ; begun.Stop() {
		var told struct {
			Result *struct {
				Header   revision
				Canceled bool
				Events   []json.RawMessage
			}
			Error *struct{ Message string }
		}
		err := decoder.Decode(&told)
		switch {
		case err != nil:
			return false, fmt.Errorf("the watch has ended: %w", err)
		case told.Error != nil:
			return false, errors.New(told.Error.Message)
		case told.Result == nil:
			return false, errors.New("the answer is not etcd's: it has no result")
		case told.Result.Canceled, len(told.Result.Events) > 0, told.Result.Header.Revision < since:
			return true, nil
		}
	}
}
