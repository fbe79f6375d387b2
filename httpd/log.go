package httpd

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// accessLog writes lines about requests. Whoever adds one never waits for the writer.
type accessLog struct {
	out  io.Writer
	most int // bytes that wait for the writer
	lost atomic.Uint64

	mu      sync.Mutex // guards what follows
	pending []byte     // what is not written yet
	writing bool       // a goroutine writes, until nothing is pending
	done    *sync.Cond // writing has ended, or the limit of somebody who waits for that
}

func newAccessLog(out io.Writer) *accessLog {
	l := &accessLog{out: out, most: 1 << 20}
	l.done = sync.NewCond(&l.mu)
	return l
}

// add logs a request.
func (l *accessLog) add(r *http.Request, a *answer, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) > l.most {
		l.lost.Add(1)
		return
	}
	l.pending = appendLine(l.pending, r, a, at)
	if !l.writing {
		l.writing = true
		go l.write()
	}
}

// write writes what is pending until there is nothing.
func (l *accessLog) write() {
	var spare []byte
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pending) > 0 {
		lines := l.pending
		l.pending = spare[:0]
		l.mu.Unlock()
		_, err := l.out.Write(lines)
		if err != nil {
			l.lost.Add(uint64(bytes.Count(lines, []byte{'\n'}))) // at most: some may be there
		}
		l.mu.Lock()
		spare = lines
	}
	l.writing = false
	l.done.Broadcast()
}

// flush waits until all is written, or the limit is over: the writer may stand still.
func (l *accessLog) flush(limit time.Duration) {
	end := time.Now().Add(limit)
	timer := time.AfterFunc(limit, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.done.Broadcast()
	})
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing && time.Now().Before(end) {
		l.done.Wait()
	}
}

// appendLine appends a line in the combined format:
//
//	HOST - USER [TIME] "REQUEST" STATUS BYTES "REFERER" "AGENT"
func appendLine(b []byte, r *http.Request, a *answer, at time.Time) []byte {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "-" // a Unix socket
	}
	b = append(b, host...)
	b = append(b, " - "...)
	user, _, ok := r.BasicAuth()
	if !ok || user == "" {
		user = "-"
	}
	b = appendEscaped(b, user)
	b = append(b, " ["...)
	b = at.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, r.Method)
	b = append(b, ' ')
	b = appendEscaped(b, r.RequestURI)
	b = append(b, ' ')
	b = appendEscaped(b, r.Proto)
	b = append(b, `" `...)
	code := a.code
	if code == 0 {
		code = http.StatusOK
	}
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, a.bytes, 10)
	for _, name := range []string{"Referer", "User-Agent"} {
		b = append(b, ` "`...)
		value := r.Header.Get(name)
		if value == "" {
			value = "-"
		}
		b = appendEscaped(b, value)
		b = append(b, '"')
	}
	return append(b, '\n')
}

// appendEscaped appends a text of a client, which must end no line and no field. It writes other bytes as nginx does.
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
