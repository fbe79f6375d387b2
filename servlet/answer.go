package servlet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero/sys"
)

// bounded keeps what is written to it, up to a bound.
type bounded struct {
	max   int64
	full  func() // called when more is written; nil: that is lost
	bytes []byte
}

func (b *bounded) Write(p []byte) (int, error) {
	rest := b.max - int64(len(b.bytes))
	if int64(len(p)) <= rest {
		b.bytes = append(b.bytes, p...)
		return len(p), nil
	}
	if b.full != nil {
		b.full()
		return 0, errAnswerMax
	}
	b.bytes = append(b.bytes, p[:rest]...)
	return len(p), nil
}

var errAnswerMax = errors.New("its answer is too long")

// serve has a servlet answer a request. Neither a body that comes slowly nor an answer that is taken slowly takes the
// place of another instance.
func (s *Servlets) serve(w http.ResponseWriter, r *http.Request, folder *os.Root, name string) {
	p, err := s.use(r.Context(), folder, name)
	if err != nil {
		fail(w, codeOf(err))
		return
	}
	defer s.release(p)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.BodyMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		fail(w, http.StatusBadRequest)
		return
	}

	out, err := s.answer(r, p, name, body)
	var a *answer
	if err == nil {
		a, err = parse(out)
	}
	switch {
	case r.Context().Err() != nil:
		fail(w, 499) // the client has gone, as nginx logs it
	case err != nil:
		s.failed(name)
		s.Log.Error("a servlet failed", "servlet", name, "error", why(err))
		fail(w, codeOf(err))
	default:
		a.send(w, r)
	}
}

// answer runs an instance, and returns what it has written.
func (s *Servlets) answer(r *http.Request, p *program, name string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	err := s.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { <-s.slots }()
	out := &bounded{max: s.AnswerMax, full: func() { cancel(errAnswerMax) }}
	said := &bounded{max: saidMax}
	err = s.run(ctx, p, instance{args: []string{name}, env: variables(r, name, len(body)), in: bytes.NewReader(body), out: out, log: said})
	s.say(name, said)
	return out.bytes, err
}

// variables returns the environment that says what the request is, as CGI has it. Headers whose names have an underscore are
// left out, for another header could look the same, and Proxy, which libraries take for a setting.
func variables(r *http.Request, name string, length int) [][2]string {
	script := "/" + name
	env := [][2]string{
		{"GATEWAY_INTERFACE", "CGI/1.1"}, {"SERVER_SOFTWARE", "divisi"}, {"SERVER_PROTOCOL", r.Proto},
		{"REQUEST_METHOD", r.Method}, {"REQUEST_URI", r.URL.RequestURI()}, {"QUERY_STRING", r.URL.RawQuery},
		{"SCRIPT_NAME", script}, {"PATH_INFO", strings.TrimPrefix(r.URL.Path, script)},
		{"HTTP_HOST", r.Host}, {"SERVER_NAME", hostOf(r.Host)}, {"CONTENT_LENGTH", strconv.Itoa(length)},
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		env = append(env, [2]string{"CONTENT_TYPE", kind})
	}
	if r.TLS != nil {
		env = append(env, [2]string{"HTTPS", "on"})
	}
	if host, port, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		env = append(env, [2]string{"REMOTE_ADDR", host}, [2]string{"REMOTE_PORT", port})
	}
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, port, err := net.SplitHostPort(at.String()); err == nil {
			env = append(env, [2]string{"SERVER_PORT", port})
		}
	}
	for key, values := range r.Header {
		if strings.Contains(key, "_") || slices.Contains([]string{"Proxy", "Host", "Content-Length", "Content-Type"}, key) {
			continue
		}
		join := ", "
		if key == "Cookie" {
			join = "; "
		}
		env = append(env, [2]string{"HTTP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_")), strings.Join(values, join)})
	}
	return env
}

func hostOf(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return host
	}
	return name
}

// answer is what a servlet answers.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

const headerMax = 64 << 10

// hop are the headers of a connection, which is not the servlet's, and the length, which is known.
var hop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Content-Length", "Status"}

// parse reads what a servlet has written: headers, an empty line, and the body.
func parse(out []byte) (*answer, error) {
	reader := bufio.NewReader(io.LimitReader(bytes.NewReader(out), headerMax))
	header, err := textproto.NewReader(reader).ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("what it wrote does not begin with headers and an empty line: %w", err)
	}
	a := &answer{code: http.StatusOK, header: http.Header(header)}
	status, location := header.Get("Status"), header.Get("Location")
	switch {
	case status != "":
		text, _, _ := strings.Cut(status, " ")
		a.code, err = strconv.Atoi(text)
		if err != nil || len(text) != 3 || a.code < 200 {
			return nil, fmt.Errorf("its status %q is none", status)
		}
	case location != "":
		a.code = http.StatusFound
	case header.Get("Content-Type") == "":
		return nil, errors.New("it wrote none of Status, Location and Content-Type")
	}
	for _, key := range hop {
		a.header.Del(key)
	}
	a.body = bodyOf(out)
	return a, nil
}

// bodyOf returns what is behind the first empty line.
func bodyOf(out []byte) []byte {
	for len(out) > 0 {
		line, rest, _ := bytes.Cut(out, []byte{'\n'})
		out = rest
		if len(bytes.TrimRight(line, "\r")) == 0 {
			break
		}
	}
	return out
}

// send sends an answer.
func (a *answer) send(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for key, values := range a.header {
		h[key] = values
	}
	if h.Get("Content-Type") == "" && len(a.body) > 0 {
		h.Set("Content-Type", "application/octet-stream") // else it would be guessed
	}
	if r.Method != http.MethodHead && a.code != http.StatusNoContent && a.code != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body) // the client may have gone
}

// codeOf returns the status for what became of a servlet.
func codeOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// why says why a servlet ended, in one line; a trap has its stack in the lines behind the first.
func why(err error) string {
	var exit *sys.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Sprintf("exit code %d", exit.ExitCode())
	case errors.Is(err, context.DeadlineExceeded):
		return "its time was over"
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

func fail(w http.ResponseWriter, code int) { http.Error(w, http.StatusText(code), code) }
