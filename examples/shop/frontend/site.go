package frontend

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/ads"
	"github.com/divisi-go/divisi/examples/shop/assets"
	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/checkout"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/recommendations"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

const (
	// pageTime bounds a page. It is long enough for a component that has just died to be
	// replaced.
	pageTime = 15 * time.Second

	// extraTime bounds what a page can do without.
	extraTime = 2 * time.Second

	// maxForm bounds the body of a request, in bytes.
	maxForm = 64 << 10
)

// backend is the components that pages are made of.
type backend struct {
	ads             ads.Ads
	assets          assets.Assets
	cart            cart.Cart
	catalog         catalog.Catalog
	checkout        checkout.Checkout
	currency        currency.Currency
	recommendations recommendations.Recommendations
}

// site answers requests.
type site struct {
	backend
	self   divisi.Identity
	jar    jar
	logger *slog.Logger
}

//go:embed pages/*.html
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// visit is one request for a page.
type visit struct {
	*http.Request
	ctx     context.Context
	id      string // names the request in the log and on error pages
	session session
	served  trail.Trail
	status  int
	body    bytes.Buffer
	goTo    string // redirect to this path, with no body
}

// saw notes who took part in the page.
func (v *visit) saw(t trail.Trail) { v.served = v.served.Add(t...) }

// handler returns the handler of the whole site, which refuses forms that other sites send.
func (s *site) handler() http.Handler {
	return http.NewCrossOriginProtection().Handler(s.routes())
}

func (s *site) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, page := range map[string]struct {
		label string
		show  func(*visit) error
	}{
		"GET /{$}":          {"home", s.home},
		"GET /product/{id}": {"product", s.product},
		"GET /search":       {"search", s.search},
		"GET /about":        {"about", s.about},
		"POST /currency":    {"currency", s.setCurrency},
		"GET /cart":         {"cart", s.showCart},
		"POST /cart/add":    {"cart-add", s.addToCart},
		"POST /cart/change": {"cart-change", s.changeCart},
		"POST /cart/empty":  {"cart-empty", s.emptyCart},
		"GET /checkout":     {"checkout", s.showCheckout},
		"POST /checkout":    {"order", s.placeOrder},
		"/":                 {"unknown", s.unknown},
	} {
		mux.Handle(pattern, divisi.InstrumentHandler(page.label, s.page(page.show)))
	}
	mux.Handle("GET /assets/{name}", divisi.InstrumentHandler("asset", http.HandlerFunc(s.asset)))
	mux.Handle("GET /favicon.ico", http.RedirectHandler("/assets/sign.png", http.StatusMovedPermanently))
	return mux
}

// page makes a handler of a function that shows a page.
func (s *site) page(show func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTime)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v := &visit{
			Request: r,
			ctx:     ctx,
			id:      rand.Text(),
			status:  http.StatusOK,
			served:  trail.Of(s.self),
		}
		var forged bool
		if v.session, forged = s.jar.read(r); forged {
			s.logger.Warn("a session with a wrong signature was dropped", "request", v.id)
		}
		err := protect(func() error {
			if err := r.ParseForm(); err != nil {
				return fmt.Errorf("%w: %w", errForm, err)
			}
			return show(v)
		})
		if err != nil {
			s.fail(v, err)
		}
		s.logger.Info("page", "path", r.URL.Path, "status", v.status, "request", v.id)
		s.jar.write(w, r, v.session)
		header := w.Header()
		header.Set("X-Request-Id", v.id)
		if v.goTo != "" {
			http.Redirect(w, r, v.goTo, http.StatusSeeOther)
			return
		}
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Length", strconv.Itoa(v.body.Len()))
		header.Set("Cache-Control", "private, no-cache")
		header.Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'self'; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		w.WriteHeader(v.status)
		w.Write(v.body.Bytes())
	})
}

// protect makes an error of a panic.
func protect(f func() error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("panic: %v\n%s", thrown, debug.Stack())
		}
	}()
	return f()
}

// problem is what an error page says.
type problem struct {
	Headline string
	Advice   string
	Request  string
}

// fail shows an error page in place of whatever the page was.
func (s *site) fail(v *visit, err error) {
	p := problem{
		Headline: "A string broke",
		Advice: "This page did not work, and it is not your fault. Your cart is safe. Please try " +
			"again; if it happens twice, tell us the number below.",
		Request: v.id,
	}
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errNotFound), errors.Is(err, catalog.ErrUnknown):
		status = http.StatusNotFound
		p.Headline = "We do not have that"
		p.Advice = "There is nothing at this address. Perhaps it was sold, perhaps it never was."
	case errors.Is(err, errForm):
		status = http.StatusBadRequest
		p.Headline = "We did not understand"
		p.Advice = "The form that came with this request was not one of ours."
	case errors.Is(err, divisi.RemoteCallError), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
		p.Headline = "One of our players is missing"
		p.Advice = "A part of the shop did not answer in time. Your cart is safe, and no order is " +
			"charged twice: please try again."
	}
	switch {
	case status >= 500:
		s.logger.Error("page failed", "request", v.id, "path", v.URL.Path, "status", status, "err", err)
	default:
		s.logger.Debug("page refused", "request", v.id, "path", v.URL.Path, "status", status, "err", err)
	}
	v.goTo, v.status = "", status
	if err := s.render(v, "problem", p.Headline, p); err != nil {
		s.logger.Error("the error page failed too", "request", v.id, "err", err)
		v.body.Reset()
		fmt.Fprintf(&v.body, "<!doctype html><title>Error</title>Something went wrong: %s\n", v.id)
	}
}

var (
	errNotFound = errors.New("no such page")
	errForm     = errors.New("malformed form")
)

// view is what every page's template gets.
type view struct {
	Page       string // name of the page, for tests and style sheets
	Title      string
	Path       string // where to return to after a change of the currency
	Query      string
	Currencies []option
	Count      int
	Categories []option
	Served     []server
	Processes  int // how many these are in
	Data       any
}

// server is somebody who took part in a page.
type server struct {
	Name    string
	Replica string
	Pid     int
}

// option is one of several things to choose from.
type option struct {
	ID     string
	Name   string
	Chosen bool
}

// render writes a page into the visit.
func (s *site) render(v *visit, page, title string, data any) error {
	content := view{
		Page:       page,
		Title:      title,
		Path:       v.URL.RequestURI(),
		Query:      v.URL.Query().Get("q"),
		Currencies: currencies(v.session.Currency),
		Count:      cart.Count(v.session.Lines),
		Data:       data,
	}
	if v.Method != http.MethodGet && v.Method != http.MethodHead {
		content.Path = "/"
	}
	for _, c := range catalog.Categories {
		content.Categories = append(content.Categories,
			option{c.ID, c.Name, page == "home" && c.ID == v.URL.Query().Get("category")})
	}
	processes := map[int]bool{}
	for _, who := range v.served {
		name, _, _ := strings.Cut(who.Component, ".") // as in cart.Cart
		content.Served = append(content.Served, server{name, who.Replica, who.Pid})
		processes[who.Pid] = true
	}
	content.Processes = len(processes)
	v.body.Reset()
	if err := pages.ExecuteTemplate(&v.body, page+".html", content); err != nil {
		return fmt.Errorf("cannot render page %s: %w", page, err)
	}
	return nil
}
