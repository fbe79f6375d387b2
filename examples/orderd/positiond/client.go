package positiond

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
)

// Client tells a positiond of moves.
type Client struct {
	conn    net.Conn
	answers *bufio.Reader
	known   int
}

// Dial connects to the positiond that has its socket in a folder. While that is being restarted, Dial waits.
func Dial(dir string) (*Client, error) {
	conn, err := net.Dial("unix", filepath.Join(dir, socketName))
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, answers: bufio.NewReader(conn)}
	return c, c.hear()
}

// Known returns how many moves positiond knows.
func (c *Client) Known() int { return c.known }

// Tell tells of the move that follows those that are known. When it returns, the positions have it.
func (c *Client) Tell(m Move) error {
	if _, err := fmt.Fprintln(c.conn, c.known+1, m); err != nil {
		c.conn.Close()
		return err
	}
	return c.hear()
}

// hear waits for the number of moves that are known.
func (c *Client) hear() error {
	if _, err := fmt.Fscanln(c.answers, &c.known); err != nil {
		c.conn.Close()
		return fmt.Errorf("positiond does not answer: %w", err)
	}
	return nil
}
