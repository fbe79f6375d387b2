// Package catalog knows what the shop sells.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// ErrUnknown is in the error of a request for a product that the shop does not sell.
var ErrUnknown = errors.New("no such product")

// Catalog knows what the shop sells.
type Catalog interface {
	// List returns the products of a category, or all if it is "".
	List(ctx context.Context, category string) (Products, error)

	// Product returns one product; without one, the error is ErrUnknown.
	Product(ctx context.Context, id string) (Detail, error)

	// Lookup returns products by their ids, in that order, and leaves out those that there are
	// not.
	Lookup(ctx context.Context, ids []string) (Products, error)

	// Search returns the products that have all words of the query, best first.
	Search(ctx context.Context, query string) (Products, error)
}

// Products is a list of products.
type Products struct {
	List   []Product
	Served trail.Trail
}

// Detail is one product.
type Detail struct {
	Product Product
	Served  trail.Trail
}

type catalog struct {
	divisi.Implements[Catalog]
}

func (c *catalog) List(_ context.Context, category string) (Products, error) {
	list := products
	if category != "" {
		list = nil
		for _, p := range products {
			if p.Category == category {
				list = append(list, p)
			}
		}
	}
	return c.answer(list), nil
}

func (c *catalog) Product(_ context.Context, id string) (Detail, error) {
	i := slices.IndexFunc(products, func(p Product) bool { return p.ID == id })
	if i < 0 {
		return Detail{}, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	return Detail{Product: products[i], Served: trail.Of(c.Self())}, nil
}

func (c *catalog) Lookup(_ context.Context, ids []string) (Products, error) {
	var list []Product
	for _, id := range ids {
		for _, p := range products {
			if p.ID == id {
				list = append(list, p)
			}
		}
	}
	return c.answer(list), nil
}

func (c *catalog) Search(_ context.Context, query string) (Products, error) {
	return c.answer(search(products, query)), nil
}

func (c *catalog) answer(list []Product) Products {
	return Products{List: list, Served: trail.Of(c.Self())}
}
