package drain

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// sendingConn counts what it is to send by itself, and what is written to it.
type sendingConn struct {
	net.Conn
	sent, written int64
}

func (c *sendingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, r)
	c.sent += n
	return n, err
}

func (c *sendingConn) Write(b []byte) (int, error) {
	c.written += int64(len(b))
	return len(b), nil
}

// TestReadFrom: the connection below sends files, and nothing else; nor what may be the beginning of an answer.
func TestReadFrom(t *testing.T) {
	file, err := os.Open("conn_test.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		what          string
		from          io.Reader
		asked         bool
		sent, written int64
	}{
		{"a file", file, false, 10, 0},
		{"a file that begins an answer", file, true, 0, 10},
		{"something else", strings.NewReader("0123456789"), false, 0, 10},
	} {
		below := &sendingConn{}
		one := &conn{Conn: below, listener: &Listener{}, asked: c.asked}
		n, err := one.ReadFrom(&io.LimitedReader{R: c.from, N: 10})
		if n != 10 || err != nil || below.sent != c.sent || below.written != c.written || !one.passed || one.asked {
			t.Errorf("%s: %d, %v, of which %d were sent and %d written", c.what, n, err, below.sent, below.written)
		}
	}
}
