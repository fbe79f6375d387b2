package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// patience is how much longer an answer may take than it was asked to wait.
const patience = 10 * time.Second

// exchange sends a request, and returns the answer with its body, which is bounded in time and size.
func exchange(client *http.Client, request *http.Request, longest time.Duration) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeoutCause(request.Context(), longest, fmt.Errorf("it has not answered for %v", longest))
	defer cancel()
	response, err := client.Do(request.WithContext(ctx))
	if err != nil {
		return nil, nil, reason(ctx, err)
	}
	defer response.Body.Close()

	body, err := io.ReadAll(io.LimitReader(response.Body, maxData+1))
	switch {
	case err != nil:
		return nil, nil, reason(ctx, err)
	case len(body) > maxData:
		return nil, nil, &SourceError{Err: fmt.Errorf("the answer is too long: at most %d bytes are read", maxData), Permanent: true}
	}
	return response, body, nil
}

// reason returns why a request has failed: what its context says, if that has ended.
func reason(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause != nil {
		return cause
	}
	return err
}

// problem returns the error of an answer that is none.
func problem(response *http.Response, body []byte) error {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body[:min(len(body), 200)])), "\n")
	err := &SourceError{Err: fmt.Errorf("%s: %s", response.Status, line)}
	if line == "" {
		err.Err = errors.New(response.Status)
	}

	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds, _ := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16)
		err.RetryAfter = time.Duration(seconds) * time.Second
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		err.Permanent = true
	}
	return err
}
