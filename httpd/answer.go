package httpd

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"os"
	"time"
)

// answer counts what a client is sent, and gives the client more time with each piece that it has taken.
type answer struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration // 0: somebody else looks after that
	extended time.Time     // when the client was last given more time

	code  int
	bytes int64
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader sends the status.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
		a.code = code
	}
	a.ResponseWriter.WriteHeader(code)
}

// Flush sends what is written.
func (a *answer) Flush() { _ = a.control.Flush() }

// Write sends a piece of the body.
func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// piece is how much of a file a client must take within the patience. The kernel sends that much at once.
const piece = 1 << 20

// ReadFrom sends the body from a reader. Where that is a file, no byte of it passes through this process: package net sees
// that behind one limit, and not behind two. What is in memory is written as it is, and anything else through a buffer; both
// go out together with the header, in one call of the system.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	if memory, ok := limited.R.(*bytes.Reader); ok && int64(memory.Len()) <= min(limited.N, piece) {
		n, err := memory.WriteTo(a)
		limited.N -= n
		return n, err
	}
	to := io.Writer(a.ResponseWriter)
	if _, isFile := limited.R.(*os.File); !isFile {
		to = struct{ io.Writer }{to}
	}
	var all int64
	for limited.N > 0 {
		a.begin()
		want := min(limited.N, piece)
		n, err := io.Copy(to, &io.LimitedReader{R: limited.R, N: want})
		a.bytes += n
		all += n
		limited.N -= n
		if err != nil || n < want {
			return all, err
		}
	}
	return all, nil
}

// begin is called before bytes of the body are sent.
func (a *answer) begin() {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	a.extend()
}

// extend gives the client its time anew. That sets a timer, so it is not done for every byte.
func (a *answer) extend() {
	now := time.Now()
	if a.patience == 0 || now.Sub(a.extended) < a.patience/8 {
		return
	}
	a.extended = now
	_ = a.control.SetWriteDeadline(now.Add(a.patience)) // writers of tests have none
}

// patientBody is the body of a request, whose next bytes must come within the patience.
type patientBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
}

func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.patience))
	return b.ReadCloser.Read(p)
}
