package httpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// Program returns a handler that has a program answer, over HTTP: at http://host:port, https://host:port, or a Unix
// socket, unix:/run/api.sock. The program gets the path as it is, the Host header of the client, and where the client
// is in X-Forwarded-For, -Host and -Proto, whatever the client said of that. While nobody answers at the address the
// status is 502; 504 if the header of the answer does not come within the limit, or not at all if that is 0.
func Program(address string, limit time.Duration) (http.Handler, error) {
	target, dial, err := parseProgram(address)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: dial, ResponseHeaderTimeout: limit, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true,
	}
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { fail(w, proxyCode(r, err)) },
	}, nil
}

// parseProgram returns where a program answers.
func parseProgram(address string) (*url.URL, func(context.Context, string, string) (net.Conn, error), error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if !filepath.IsAbs(path) {
			return nil, nil, fmt.Errorf("%q is no address of a program: the path of a Unix socket begins with a slash, as in unix:/run/api.sock", address)
		}
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) }
		return &url.URL{Scheme: "http", Host: "localhost"}, dial, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, nil, fmt.Errorf("%q is no address of a program: write http://HOST:PORT, https://HOST:PORT or unix:/PATH", address)
	}
	u.Path = ""
	return u, d.DialContext, nil
}

// proxyCode returns the status for what went wrong between a client and a program.
func proxyCode(r *http.Request, err error) int {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case r.Context().Err() != nil:
		return 499 // the client has gone, as nginx logs it
	case errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}
