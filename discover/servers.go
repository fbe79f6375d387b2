package discover

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/divisi-go/divisi/internal/home"
)

// Servers is a source that has the servers of this machine which are ready and which a selector picks, such as
// "role:web@/shop/...", as divisi lookup has them. Nothing has to be registered. Each is an entry, by its full name, with a [Server]
// as JSON: the decoder is EachJSON[Server].
//
// It asks the keeper that has started this process, or else that of DIVISI_HOME, and has to run as the same user, or as
// root. A domain that does not begin with a slash is below that of DIVISI_DOMAIN.
type Servers string

// Server is a server that can be used.
type Server struct {
	Server  string   `json:"server"` // its full name, such as web-0@/shop
	Roles   []string `json:"roles"`  // the first one is what it is for
	Sockets []Socket `json:"sockets"`
}

// Socket is where a server listens.
type Socket struct {
	Name    string `json:"name"`
	Network string `json:"network"` // tcp, tcp4, tcp6 or unix
	Address string `json:"address"` // such as 127.0.0.1:8080, or a path
}

var _ Source = Servers("")

func (s Servers) String() string { return "servers " + string(s) }

// Get returns the servers.
func (s Servers) Get(ctx context.Context, after Version) (Data, error) {
	socket := os.Getenv("DIVISI_LOOKUP")
	if socket == "" {
		h, err := home.Find()
		if err != nil {
			return Data{}, &SourceError{Err: err, Permanent: true}
		}
		socket = h.Keeper().Door
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	query := url.Values{"select": {string(s)}, "domain": {cmp.Or(os.Getenv("DIVISI_DOMAIN"), "/")}, "after": {string(after)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://divisi/v1/lookup?"+query.Encode(), nil)
	if err != nil {
		return Data{}, &SourceError{Err: err, Permanent: true}
	}
	response, body, err := exchange(client, request, wait+patience)
	switch {
	case err != nil:
		return Data{}, fmt.Errorf("cannot ask the keeper at %s: %w", socket, err)
	case response.StatusCode != http.StatusOK:
		return Data{}, problem(response, body)
	}
	return servers(body, strings.Trim(response.Header.Get("ETag"), `"`))
}

// servers returns what a keeper has answered.
func servers(body []byte, version string) (Data, error) {
	var found []json.RawMessage
	err := json.Unmarshal(body, &found)
	if err != nil {
		return Data{}, fmt.Errorf("the answer is not a keeper's: %w", err)
	}
	data := Data{Version: Version(version)}
	for _, text := range found {
		var server Server
		err := json.Unmarshal(text, &server)
		if err != nil {
			return Data{}, fmt.Errorf("the answer is not a keeper's: %w", err)
		}
		value, err := json.Marshal(server) // without what a later keeper says besides
		if err != nil {
			return Data{}, err
		}
		data.Entries = append(data.Entries, Entry{server.Server, value})
	}
	return data, nil
}
