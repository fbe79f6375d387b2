package dashboard

import (
	"context"
	"net/http"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/name"
)

// Ensemble is what an ensemble is to be, beside what it is as a program.
type Ensemble struct {
	Servers []Server `json:"servers"`
	Numbers []Number `json:"numbers"`
}

// Server is a server that the document of an ensemble has.
type Server struct {
	Name    string   `json:"name"` // such as httpd-0@/test/www
	Roles   []string `json:"roles"`
	Stopped bool     `json:"stopped"` // and stays so, until somebody starts it
}

// Number says how many servers of a kind there are to be.
type Number struct {
	Of     string `json:"of"` // such as httpd@/test/www
	Number int    `json:"number"`
}

// Ensembles knows the ensembles of this machine.
type Ensembles interface {
	// Of returns the ensemble of a domain, nil if there is none.
	Of(domain string) (*Ensemble, error)

	// Do has an ensemble stop or start a server, or scale to a number: the verb is that of the command, and so are its
	// arguments. It is a revision of the ensemble.
	Do(ctx context.Context, domain, verb string, args []string) error
}

// With has the page know of ensembles, and returns it.
func (p *Page) With(e Ensembles) *Page {
	p.ensembles = e
	return p
}

// ensemble returns what the ensemble of an application is to be; nil if it is none.
func (p *Page) ensemble(app string) (*Ensemble, error) {
	if p.ensembles == nil {
		return nil, nil
	}
	return p.ensembles.Of(name.Domain(app))
}

// change changes what an ensemble is to be.
func (p *Page) change(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Verb string   `json:"verb"`
		Args []string `json:"args"`
	}
	p.tell(w, r, &order, func(ctx context.Context, app string, _ *control.Client) (any, error) {
		of, err := p.ensemble(app)
		if err == nil && of == nil {
			err = &control.Error{Code: control.NotFound, Text: app + " is no ensemble"}
		}
		if err != nil {
			return nil, err
		}
		return nil, p.ensembles.Do(ctx, name.Domain(app), order.Verb, order.Args)
	})
}
