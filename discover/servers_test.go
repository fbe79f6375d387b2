package discover_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/discover"
)

// The servers of a keeper are a source; what a later keeper says besides is passed over. The end-to-end tests have a real keeper.
func TestServers(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "discover") // paths of sockets are short
	check(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "keeper.sock")
	t.Setenv("DIVISI_LOOKUP", socket)
	t.Setenv("DIVISI_DOMAIN", "/shop")
	_, err = discover.Servers("role:web").Get(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "cannot ask the keeper at "+socket) {
		t.Errorf("without a keeper: %v", err)
	}

	listener, err := net.Listen("unix", socket)
	check(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "after=&domain=%2Fshop&select=role%3Aweb":
			w.Header().Set("ETag", `"v1"`)
			_, _ = w.Write([]byte(`[{"server":"web-0@/shop","roles":["web"],"more":1,"sockets":[{"name":"http","network":"tcp","address":"127.0.0.1:80"}]}]`))
		case "after=v1&domain=%2Fshop&select=role%3Aweb":
			w.Header().Set("ETag", `"v2"`)
			_, _ = w.Write([]byte(`[]`))
		case "after=&domain=%2Fshop&select=role%3A":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"a name is empty"}`))
		default:
			_, _ = w.Write([]byte(`[{"server":7}]`))
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	v := &discover.Value[map[string]discover.Server]{Source: discover.Servers("role:web"), Decode: discover.EachJSON[discover.Server]}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- v.Serve(ctx) }()
	var lists []map[string]discover.Server
	for s := range v.Watch(t.Context()) {
		lists = append(lists, s.Value)
		if len(lists) == 2 || len(s.Value) == 0 {
			break
		}
	}
	cancel()
	check(t, <-served)
	web := discover.Server{Server: "web-0@/shop", Roles: []string{"web"}, Sockets: []discover.Socket{{Name: "http", Network: "tcp", Address: "127.0.0.1:80"}}}
	last := lists[len(lists)-1]
	if len(last) != 0 || len(lists) == 2 && !reflect.DeepEqual(lists[0], map[string]discover.Server{"web-0@/shop": web}) {
		t.Errorf("it has %+v", lists)
	}

	_, err = discover.Servers("role:").Get(t.Context(), "")
	var told *discover.SourceError
	if !errors.As(err, &told) || !told.Permanent || !strings.Contains(err.Error(), "a name is empty") {
		t.Errorf("a role without a name: %v", err)
	}
	_, err = discover.Servers("@/other").Get(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "the answer is not a keeper's") {
		t.Errorf("an answer of somebody else: %v", err)
	}
}
