package frontend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/divisi-go/divisi/examples/shop/assets"
	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/money"
)

// card is a product with its price in the visitor's currency.
type card struct {
	catalog.Product
	Cost money.Money
}

// cards prices products.
func (s *site) cards(v *visit, products []catalog.Product) ([]card, error) {
	var prices []money.Money
	for _, p := range products {
		prices = append(prices, p.Price)
	}
	converted, err := s.currency.Convert(v.ctx, prices, v.session.Currency)
	if err != nil {
		return nil, fmt.Errorf("cannot price products: %w", err)
	}
	v.saw(converted.Served)
	cards := make([]card, len(products))
	for i, p := range products {
		cards[i] = card{p, converted.Amounts[i]}
	}
	return cards, nil
}

// banner is an advertisement.
type banner struct {
	Text    string
	Product string
}

// banner returns an advertisement, or nil if there is none in time: nobody came for it.
func (s *site) banner(v *visit, categories []string, not string) *banner {
	ctx, cancel := context.WithTimeout(v.ctx, extraTime)
	defer cancel()
	ad, err := s.ads.Choose(ctx, categories, not, v.session.User+v.URL.Path)
	if err != nil {
		s.logger.Warn("a page goes without an advertisement", "request", v.id, "err", err)
		return nil
	}
	v.saw(ad.Served)
	return &banner{ad.Text, ad.Product}
}

// suggestions returns what goes with products, or nothing if that is not known in time.
func (s *site) suggestions(v *visit, ids []string, n int) []card {
	ctx, cancel := context.WithTimeout(v.ctx, extraTime)
	defer cancel()
	suggested, err := s.recommendations.Suggest(ctx, ids, n)
	if err != nil {
		s.logger.Warn("a page goes without recommendations", "request", v.id, "err", err)
		return nil
	}
	v.saw(suggested.Served)
	cards, err := s.cards(v, suggested.List)
	if err != nil {
		s.logger.Warn("a page goes without recommendations", "request", v.id, "err", err)
		return nil
	}
	return cards
}

func (s *site) home(v *visit) error {
	category := v.URL.Query().Get("category")
	found, err := s.catalog.List(v.ctx, category)
	if err != nil {
		return err
	}
	if len(found.List) == 0 {
		return errNotFound
	}
	v.saw(found.Served)
	cards, err := s.cards(v, found.List)
	if err != nil {
		return err
	}
	title := "Instruments and sheet music"
	var wanted []string
	for _, c := range catalog.Categories {
		if c.ID == category {
			title = c.Name
			wanted = []string{category}
		}
	}
	return s.render(v, "home", title, struct {
		Whole  bool // no category was chosen
		Banner *banner
		Cards  []card
	}{category == "", s.banner(v, wanted, ""), cards})
}

func (s *site) product(v *visit) error {
	detail, err := s.catalog.Product(v.ctx, v.PathValue("id"))
	if err != nil {
		return err
	}
	v.saw(detail.Served)
	cards, err := s.cards(v, []catalog.Product{detail.Product})
	if err != nil {
		return err
	}
	return s.render(v, "product", detail.Product.Name, struct {
		Card       card
		Paragraphs []string
		Most       int
		Banner     *banner
		Others     []card
	}{
		cards[0], strings.Split(detail.Product.Text, "\n"), cart.MaxQuantity,
		s.banner(v, []string{detail.Product.Category}, detail.Product.ID),
		s.suggestions(v, []string{detail.Product.ID}, 4),
	})
}

func (s *site) search(v *visit) error {
	query := strings.TrimSpace(v.URL.Query().Get("q"))
	if len(query) > catalog.MaxQuery {
		query = strings.ToValidUTF8(query[:catalog.MaxQuery], "")
	}
	var cards []card
	if query != "" {
		found, err := s.catalog.Search(v.ctx, query)
		if err != nil {
			return err
		}
		v.saw(found.Served)
		if cards, err = s.cards(v, found.List); err != nil {
			return err
		}
	}
	return s.render(v, "search", "Search", struct {
		Query string
		Cards []card
	}{query, cards})
}

func (s *site) about(v *visit) error { return s.render(v, "about", "How this shop works", nil) }

func (s *site) unknown(*visit) error { return errNotFound }

func currencies(chosen string) []option {
	var list []option
	for _, code := range money.Codes() {
		list = append(list, option{code, money.Name(code), code == chosen})
	}
	return list
}

func (s *site) setCurrency(v *visit) error {
	code := v.PostFormValue("currency")
	if !money.Known(code) {
		return fmt.Errorf("%w: currency %q", errForm, code)
	}
	v.session.Currency = code
	v.goTo = "/"
	// Back to a page of this site and no other: "//host" and "/\host" are other sites.
	if back := v.PostFormValue("back"); len(back) > 1 && back[0] == '/' && back[1] != '/' && back[1] != '\\' {
		v.goTo = back
	}
	return nil
}

// asset serves the files of the component assets. They have no footer, so a header says who
// served them.
func (s *site) asset(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	known := r.Header.Get("If-None-Match")
	file, err := s.assets.Get(ctx, r.PathValue("name"), known)
	if errors.Is(err, assets.ErrUnknown) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		s.logger.Error("file failed", "path", r.URL.Path, "err", err)
		http.Error(w, "this file cannot be had at the moment", http.StatusServiceUnavailable)
		return
	}
	header := w.Header()
	for _, who := range file.Served {
		header.Add("X-Served-By", fmt.Sprintf("%s, process %d, replica %s", who.Component, who.Pid, who.Replica))
	}
	header.Set("ETag", file.ETag)
	header.Set("Cache-Control", "public, max-age=300")
	if known == file.ETag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", file.Type)
	header.Set("Content-Length", fmt.Sprint(len(file.Data)))
	header.Set("X-Content-Type-Options", "nosniff")
	w.Write(file.Data)
}
