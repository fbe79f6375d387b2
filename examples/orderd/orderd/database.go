package orderd

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	_ "modernc.org/sqlite"

	"github.com/divisi-go/divisi/examples/orderd/positiond"
)

const schema = `CREATE TABLE orders (
	number     INTEGER PRIMARY KEY, -- 1, 2, 3 and so on
	id         TEXT    NOT NULL UNIQUE,
	instrument INTEGER NOT NULL,
	quantity   INTEGER NOT NULL
) STRICT`

// connect returns a database, which there has to be. What is committed is on the disk.
func connect(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	options := url.Values{"_pragma": {"journal_mode(wal)", "synchronous(full)", "busy_timeout(10000)"}}
	return sql.Open("sqlite", "file:"+path+"?"+options.Encode())
}

// makeDatabase makes a database, or nothing.
func makeDatabase(path string) error {
	if _, err := os.Stat(path); err == nil {
		return &fs.PathError{Op: "make", Path: path, Err: fs.ErrExist}
	}
	part := path + ".part"
	if err := os.WriteFile(part, nil, 0o600); err != nil {
		return err
	}
	db, err := connect(part)
	if err != nil {
		return err
	}
	_, err = db.Exec(schema)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// recoverDatabase examines a database.
func recoverDatabase(path string) error {
	db, err := connect(path)
	if err != nil {
		return err
	}
	defer db.Close()
	var found string
	if err := db.QueryRow(`PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("the database %s is damaged: %s", path, found)
	}
	return nil
}

// find returns the order of an id. Without one, the error is [sql.ErrNoRows].
func find(db *sql.DB, id string) (positiond.Move, error) {
	var m positiond.Move
	err := db.QueryRow(`SELECT instrument, quantity FROM orders WHERE id = ?`, id).Scan(&m.Instrument, &m.Quantity)
	return m, err
}

// insert adds an order.
func insert(db *sql.DB, id string, m positiond.Move) error {
	_, err := db.Exec(`INSERT INTO orders (id, instrument, quantity) VALUES (?, ?, ?)`, id, m.Instrument, m.Quantity)
	return err
}

// after returns the orders after those that somebody knows, the first thousand of them at most.
func after(db *sql.DB, known int) ([]positiond.Move, error) {
	rows, err := db.Query(`SELECT instrument, quantity FROM orders WHERE number > ? ORDER BY number LIMIT 1000`, known)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var moves []positiond.Move
	for rows.Next() {
		var m positiond.Move
		if err := rows.Scan(&m.Instrument, &m.Quantity); err != nil {
			return nil, err
		}
		moves = append(moves, m)
	}
	return moves, rows.Err()
}
