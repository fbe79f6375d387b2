package lookup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/home"
)

const (
	// maxAnswer bounds the answer of a keeper, in bytes.
	maxAnswer = 64 << 20

	// patience is how much longer than [Longest] an answer may take.
	patience = 10 * time.Second

	// pause is how long [Desk.Follow] waits before it asks again a keeper that has not answered.
	pause = 200 * time.Millisecond
)

// Desk is where programs ask that are not clients of a keeper: they start none, and claim nothing.
type Desk struct {
	Socket string // of the keeper
	Domain string // below which a domain is that does not begin with a slash; "" is "/"
}

// Here returns the desk that the environment names: that of the keeper which has started this process, or else that of
// DIVISI_HOME. A domain that does not begin with a slash is below that of DIVISI_DOMAIN.
func Here() (Desk, error) {
	d := Desk{Socket: os.Getenv(Variable), Domain: os.Getenv("DIVISI_DOMAIN")}
	if d.Socket != "" {
		return d, nil
	}
	h, err := home.Find()
	if err != nil {
		return Desk{}, err
	}
	d.Socket = h.Keeper().Door
	return d, nil
}

// Refused is the error of a question that will have the same answer always.
type Refused struct{ text string }

func (r *Refused) Error() string { return r.text }

// Ask returns the servers that a selector picks and that are ready.
func (d Desk) Ask(ctx context.Context, selector string) ([]Found, error) {
	found, _, err := d.Next(ctx, selector, "")
	return found, err
}

// Next is the other end of the function [Next].
func (d Desk) Next(ctx context.Context, selector, after string) (found []Found, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Longest+patience)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", d.Socket)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	query := url.Values{"select": {selector}, "domain": {cmp.Or(d.Domain, "/")}, "after": {after}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://divisi/v1/lookup?"+query.Encode(), nil)
	if err != nil {
		return nil, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, "", fmt.Errorf("cannot ask the keeper at %s: %w", d.Socket, errors.Unwrap(err)) // the URL says nothing
	}
	defer response.Body.Close()
	found, err = answer(response.StatusCode, io.LimitReader(response.Body, maxAnswer))
	version = strings.Trim(response.Header.Get("ETag"), `"`)
	return found, cmp.Or(version, versionOf(found)), err // a keeper of before answers at once, without a version
}

// Follow tells which servers a selector picks and are ready, at once and whenever that has changed, until the context ends.
// When the keeper does not answer it tells the error, and asks again. The selector being wrong ends it, with that error.
func (d Desk) Follow(ctx context.Context, selector string, tell func([]Found, error)) error {
	version := ""
	for {
		found, next, err := d.Next(ctx, selector, version)
		var refused *Refused
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused):
			return err
		case err != nil:
			tell(nil, err)
			version = ""
		case next != version:
			tell(found, nil)
			version = next
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
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
	if status == http.StatusBadRequest {
		return nil, &Refused{refused.Error}
	}
	return nil, errors.New(refused.Error)
}
