package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"

	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
)

// Visits is a service that runs, and counts visits of its page.
type Visits struct {
	URL string
}

// StartVisits starts an edition of the service, which keeps its count in a Postgres.
func StartVisits(ctx context.Context, n *system.Nursery, h *system.Host, db *Postgres, l *system.Listener, edition string) (*Visits, error) {
	_, err := h.Ensure(ctx, n, system.Spec{
		Name: "visits", Program: program, Args: []any{l.Name(), db.Source, edition},
		Listeners: []*system.Listener{l}, Ready: "notify",
	})
	return &Visits{"http://" + l.Addr()}, err
}

var program = system.Server("visits", visits)

// visits serves the page.
func visits(listener, source, edition string) error {
	db, err := sql.Open("postgres", source)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE IF NOT EXISTS visits (number SERIAL PRIMARY KEY)`); err != nil {
		return err
	}

	page := func(w http.ResponseWriter, r *http.Request) {
		number, err := next(r.Context(), db)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "visit %d, edition %s, process %d\n", number, edition, os.Getpid())
	}
	l, err := serve.Listener(listener, "")
	if err != nil {
		return err
	}
	return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(page)}))
}

// patience is how long Postgres may take to be restarted.
const patience = 30 * time.Second

// next counts a visit. While Postgres is restarted, it waits.
func next(ctx context.Context, db *sql.DB) (number int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := db.QueryRowContext(ctx, `INSERT INTO visits DEFAULT VALUES RETURNING number`).Scan(&number)
		if err == nil || ctx.Err() != nil {
			return number, err
		}
		log.Print("visits: ", err)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
