package orderd

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/examples/orderd/positiond"
	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
)

// The programs that this one may be.
var (
	program   = system.Server("orderd", run)
	maker     = system.Server("make-database", makeDatabase)
	recoverer = system.Server("recover-database", recoverDatabase)
)

// run serves until it is asked to end. Orders are decided from the moment on when positiond knows all
// that the database has.
func run(listener, dir, file string) error {
	positions, err := positiond.Map(dir)
	if err != nil {
		return err
	}
	db, err := connect(file)
	if err != nil {
		return err
	}
	defer db.Close()

	d := &desk{db: db, dir: dir, positions: positions}
	if err := d.settle(); err != nil {
		return err
	}
	l, err := serve.Listener(listener, "")
	if err != nil {
		return err
	}
	return serve.Run(context.Background(), serve.Conns(l, d.talk))
}

// Limit is how much of an instrument may be held, or owed.
const Limit = 1000

// desk decides about orders, one at a time. The database says which there are; the order n is the move n
// of positiond, which is told of an order after the database has it, and before the client has an answer.
type desk struct {
	dir       string // of positiond
	positions *positiond.Positions

	mu        sync.Mutex // guards what follows
	db        *sql.DB
	positiond *positiond.Client // nil before the first connection, and after it has failed
}

// talk answers orders until the client goes, or the process is to end: then it says goodbye, also to who has
// nothing to say.
func (d *desk) talk(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadSlice('\n') // no more than there is room for
		ends := ctx.Err() != nil
		if err != nil && !ends {
			return
		}

		answer := ""
		if err == nil {
			answer = d.answer(strings.TrimRight(string(line), "\r\n"))
		}
		if ends {
			answer += Goodbye + "\n"
		}
		io.WriteString(conn, answer) // in one piece, so that nothing comes between
		if ends {
			return
		}
	}
}

// answer answers an order.
func (d *desk) answer(line string) string {
	id, move, _ := strings.Cut(line, " ")
	rejected, err := d.decide(id, move)
	switch {
	case err != nil:
		log.Fatal("orderd: ", err) // the next process looks at what the database has
	case rejected != nil:
		return fmt.Sprintf("%s rejected: %v\n", id, rejected)
	}
	return id + " accepted\n"
}

// decide decides about an order, which may have been sent before.
func (d *desk) decide(id, text string) (rejected, err error) {
	move, err := positiond.ParseMove(text)
	if err != nil {
		return err, nil
	}
	if id == "" || len(id) > 64 {
		return errors.New("an id has 1 to 64 bytes"), nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()

	before, err := find(d.db, id)
	switch {
	case err == nil && before == move:
		return nil, nil
	case err == nil:
		return fmt.Errorf("the id is that of the order \"%v\"", before), nil
	case !errors.Is(err, sql.ErrNoRows):
		return nil, err
	}

	if position := d.positions[move.Instrument].Load() + move.Quantity; position < -Limit || position > Limit {
		return fmt.Errorf("the position would be %d, and the limit is %d", position, Limit), nil
	}
	if err := insert(d.db, id, move); err != nil {
		return nil, err
	}
	return nil, d.settle()
}

// settle tells positiond of the orders that it does not know, and does not give up before it knows them.
func (d *desk) settle() error {
	for {
		if d.positiond == nil {
			d.positiond = d.dial()
		}
		moves, err := after(d.db, d.positiond.Known())
		if err != nil {
			return err
		}
		if len(moves) == 0 {
			return nil
		}
		for _, move := range moves {
			if err := d.positiond.Tell(move); err != nil {
				log.Print("orderd: ", err)
				d.positiond = nil
				break
			}
		}
	}
}

// dial connects to positiond, as soon as that can be.
func (d *desk) dial() *positiond.Client {
	for {
		c, err := positiond.Dial(d.dir)
		if err == nil {
			return c
		}
		log.Print("orderd: ", err)
		time.Sleep(retry)
	}
}

const retry = 50 * time.Millisecond
