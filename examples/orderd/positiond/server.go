package positiond

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
)

var program = system.Server("positiond", func() error {
	b, err := open(".")
	if err != nil {
		return err
	}
	l, err := serve.Listener(socketName, "")
	if err != nil {
		return err
	}
	return serve.Run(context.Background(), serve.Conns(l, b.talk))
})

// book has the journal, whose line n is the move n, and the positions, which are the sum of it.
type book struct {
	mu        sync.Mutex // guards what follows
	journal   *os.File
	positions *Positions
	known     int // moves in the journal
}

// open opens the book that is in a folder.
func open(dir string) (*book, error) {
	positions, err := create(dir)
	if err != nil {
		return nil, err
	}
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	b := &book{journal: journal, positions: positions}
	return b, b.restore()
}

// restore makes the positions what the journal says. The process before may have been killed between the
// two, or in the middle of a line, which then is none.
func (b *book) restore() error {
	text, err := io.ReadAll(b.journal)
	if err != nil {
		return err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	if err := b.journal.Truncate(int64(len(text))); err != nil {
		return err
	}

	var sums [len(Positions{})]int64
	for line := range strings.Lines(string(text)) {
		b.known++
		m, err := ParseMove(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return fmt.Errorf("%s:%d: %w", b.journal.Name(), b.known, err)
		}
		sums[m.Instrument] += m.Quantity
	}
	for i, sum := range sums {
		b.positions[i].Store(sum)
	}
	return nil
}

// talk says how many moves are known, and again after every line, which is the number of a move and the
// move. It ends when the process is to end: whoever it talks to tells the next one.
func (b *book) talk(ctx context.Context, conn net.Conn) {
	fmt.Fprintln(conn, b.moves())
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if err := b.enter(lines.Text()); err != nil {
			log.Print("positiond: ", err)
			return
		}
		fmt.Fprintln(conn, b.moves())
		if ctx.Err() != nil {
			return
		}
	}
}

func (b *book) moves() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known
}

// enter takes a move in, unless it is known.
func (b *book) enter(line string) error {
	var number int
	first, rest, _ := strings.Cut(line, " ")
	if _, err := fmt.Sscan(first, &number); err != nil {
		return fmt.Errorf("%q does not begin with the number of a move", line)
	}
	m, err := ParseMove(rest)
	if err != nil {
		return err
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case number <= b.known:
		return nil
	case number > b.known+1:
		return fmt.Errorf("the move %d cannot follow the move %d", number, b.known)
	}
	if _, err := fmt.Fprintln(b.journal, m); err != nil {
		log.Fatal("positiond: ", err) // the next process sees what there is of it
	}
	b.positions[m.Instrument].Add(m.Quantity)
	b.known++
	return nil
}
