package discover

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Consul is a source that has what Consul has under a key, or a server that speaks the same API. It follows the
// rules that Consul's documentation gives for blocking queries.
type Consul struct {
	// Address is where Consul is: "host:port", or a URL. If it is empty, it is what CONSUL_HTTP_ADDR says,
	// and without that 127.0.0.1:8500.
	Address string
	// Key is the key. With Recurse, it is what all keys begin with.
	Key     string
	Recurse bool
	// Token is sent with each request. If it is empty, it is what CONSUL_HTTP_TOKEN says, or what is in
	// TokenFile, or in the file that CONSUL_HTTP_TOKEN_FILE names, which is read for each request.
	Token     string
	TokenFile string
	// Wait is how long Consul lets a request wait for a change: a second at least; 0 is a minute.
	Wait time.Duration
	// Stale is true where the answer of any server of Consul's is good, not only that of the leader.
	Stale bool
	// Client sends the requests; if it is nil, [http.DefaultClient] does. One with a time-out shortens Wait.
	Client *http.Client
}

var _ Source = Consul{}

func (c Consul) String() string { return "consul key " + c.Key }

// Get returns what Consul has.
func (c Consul) Get(ctx context.Context, after Version) (Data, error) {
	request, longest, err := c.request(ctx, after)
	if err != nil {
		return Data{}, &SourceError{Err: err, Permanent: true}
	}

	response, body, err := exchange(cmp.Or(c.Client, http.DefaultClient), request, longest)
	if err != nil {
		return Data{}, err
	}
	return answer(response, body, after)
}

// request returns a request, and how long its answer may take: Consul adds up to a sixteenth to what it is
// asked to wait, and the network has ten seconds.
func (c Consul) request(ctx context.Context, after Version) (*http.Request, time.Duration, error) {
	query, longest := url.Values{}, time.Duration(0)
	if after != "" {
		longest = max(cmp.Or(c.Wait, wait), time.Second)
		if c.Client != nil && c.Client.Timeout > 0 {
			longest = max(min(longest, c.Client.Timeout*3/4), time.Second)
		}
		query.Set("index", string(after))
		query.Set("wait", strconv.FormatInt(longest.Milliseconds(), 10)+"ms")
	}
	if c.Recurse {
		query.Set("recurse", "")
	}
	if c.Stale {
		query.Set("stale", "")
	}

	address := cmp.Or(c.Address, os.Getenv("CONSUL_HTTP_ADDR"), "127.0.0.1:8500")
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	target, err := url.Parse(address)
	if err != nil {
		return nil, 0, fmt.Errorf("%q is no address of Consul: %w", address, err)
	}
	target = target.JoinPath("v1/kv/")
	target.Path += strings.TrimPrefix(c.Key, "/")
	target.RawQuery = query.Encode()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	token, err := c.token()
	if err != nil {
		return nil, 0, err
	}
	if token != "" {
		request.Header.Set("X-Consul-Token", token)
	}
	return request, longest + longest/16 + patience, nil
}

// token returns the token to send, if there is one.
func (c Consul) token() (string, error) {
	token := cmp.Or(c.Token, os.Getenv("CONSUL_HTTP_TOKEN"))
	file := cmp.Or(c.TokenFile, os.Getenv("CONSUL_HTTP_TOKEN_FILE"))
	if token != "" || file == "" {
		return token, nil
	}
	text, err := readUpTo(file, 4096)
	if err != nil {
		return "", fmt.Errorf("the file of Consul's token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// answer returns what an answer of Consul's says.
//
// The version is the index of the query, which is in the header. An index that is lower than the one before, or
// none at all, is no version: what Consul knew before is gone, and the next request must not wait for it.
func answer(response *http.Response, body []byte, after Version) (Data, error) {
	index, malformed := strconv.ParseUint(response.Header.Get("X-Consul-Index"), 10, 64)
	before, _ := strconv.ParseUint(string(after), 10, 64)
	age, _ := strconv.ParseUint(response.Header.Get("X-Consul-LastContact"), 10, 32)
	data := Data{Stale: time.Duration(age) * time.Millisecond}
	if malformed == nil && index > 0 && index >= before {
		data.Version = Version(strconv.FormatUint(index, 10))
	}

	switch {
	case response.StatusCode == http.StatusNotFound && malformed == nil:
		return data, nil
	case response.StatusCode != http.StatusOK:
		return Data{}, problem(response, body)
	}
	var found []struct {
		Key   string
		Value []byte
	}
	err := json.Unmarshal(body, &found)
	if err != nil {
		return Data{}, fmt.Errorf("the answer is not Consul's: %w", err)
	}
	for _, e := range found {
		data.Entries = append(data.Entries, Entry(e))
	}
	return data, nil
}
