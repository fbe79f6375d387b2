package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxAnswer bounds the answer of a keeper, in bytes.
const maxAnswer = 64 << 20

// Ask has the keeper behind a socket find servers. It starts no keeper, so any program may do it.
func Ask(ctx context.Context, socket, selector, domain string) ([]Found, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	query := url.Values{"select": {selector}, "domain": {domain}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://divisi/v1/lookup?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the keeper at %s: %w", socket, errors.Unwrap(err)) // the URL says nothing
	}
	defer response.Body.Close()
	return answer(response.StatusCode, io.LimitReader(response.Body, maxAnswer))
}

// answer reads what a keeper answers.
func answer(status int, from io.Reader) (found []Found, err error) {
	if status == http.StatusOK {
		err := json.NewDecoder(from).Decode(&found)
		return found, err
	}
	var refused struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(from).Decode(&refused); err != nil || refused.Error == "" {
		return nil, fmt.Errorf("the keeper answers with the status %d", status)
	}
	return nil, errors.New(refused.Error)
}
