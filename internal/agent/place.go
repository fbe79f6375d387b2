package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/divisi-go/divisi/internal/artifact"
)

// artifacts are the requests about artifacts.
func (s *service) artifacts() map[string]func(context.Context, ask) (answer, error) {
	used := func(u artifact.Used, err error) (answer, error) {
		if errors.Is(err, artifact.ErrNone) || errors.Is(err, artifact.ErrDamaged) {
			return answer{Text: err.Error()}, nil
		}
		return answer{Used: &u}, err
	}
	return map[string]func(context.Context, ask) (answer, error){
		"begin": func(ctx context.Context, a ask) (answer, error) {
			missing, err := s.store.Begin(ctx, a.Content)
			return answer{Missing: missing}, err
		},
		"commit":    func(ctx context.Context, a ask) (answer, error) { return answer{}, s.store.Commit(ctx, a.Sum) },
		"use":       func(ctx context.Context, a ask) (answer, error) { return used(s.store.Use(ctx, a.Sum)) },
		"usebefore": func(ctx context.Context, a ask) (answer, error) { return used(s.store.UseBefore(ctx, a.Path)) },
	}
}

// put adds what the body has to a content.
func (s *service) put(w http.ResponseWriter, r *http.Request) {
	offset, err := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	if err == nil {
		err = s.store.Put(r.Context(), r.URL.Query().Get("sum"), r.URL.Query().Get("content"), offset, r.Body)
	}
	reply(w, answer{}, err)
}

// place is where the artifacts of the host are.
type place struct{ *Client }

var _ artifact.Place = place{}

// Begin implements [artifact.Depot].
func (p place) Begin(ctx context.Context, text []byte) ([]artifact.Missing, error) {
	done, err := p.call(ctx, "begin", ask{Content: text})
	return done.Missing, err
}

// Put implements [artifact.Depot].
func (p place) Put(ctx context.Context, sum, content string, offset int64, r io.Reader) error {
	now, err := p.current(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", artifact.ErrCut, err)
	}
	where := url.Values{"sum": {sum}, "content": {content}, "offset": {strconv.FormatInt(offset, 10)}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://divisi/v1/put?"+where, io.NopCloser(r))
	if err != nil {
		return err
	}
	response, err := now.web.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %w", artifact.ErrCut, err)
	}
	defer response.Body.Close()
	err = told("put", response, &answer{})
	if err != nil && !errors.As(err, new(*refused)) {
		err = fmt.Errorf("%w: %w", artifact.ErrCut, err)
	}
	return err
}

// Commit implements [artifact.Depot].
func (p place) Commit(ctx context.Context, sum string) error {
	_, err := p.call(ctx, "commit", ask{Sum: sum})
	return err
}

// Use implements [artifact.Place].
func (p place) Use(ctx context.Context, sum string) (artifact.Used, error) {
	return used(p.call(ctx, "use", ask{Sum: sum}))
}

// UseBefore implements [artifact.Place].
func (p place) UseBefore(ctx context.Context, name string) (artifact.Used, error) {
	return used(p.call(ctx, "usebefore", ask{Path: name}))
}

// used returns what an agent says of an artifact.
func used(done answer, err error) (artifact.Used, error) {
	switch {
	case err != nil:
		return artifact.Used{}, err
	case done.Used == nil:
		return artifact.Used{}, fmt.Errorf("%s: %w", done.Text, artifact.ErrNone)
	}
	return *done.Used, nil
}
