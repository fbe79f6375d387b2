package balance

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// tolerated is how many failures in a row an endpoint may have.
	tolerated = 5

	// rest is how long an endpoint has no requests after that, times how often it came to that; at most maxRest.
	rest    = time.Second
	maxRest = 30 * time.Second
)

// pool is what is known of endpoints. It decides, and has no clock; the zero value knows nothing.
//
//   - An endpoint that has left the list is forgotten when it has no request left.
//   - Never more than half of the list rests, and never all of it.
type pool struct {
	known map[string]*state
}

type state struct {
	inside   int // requests
	failures int // in a row
	rests    int // in a row
	until    time.Time
}

// take chooses an endpoint that was not tried for a request, and says whether there are others.
func (p *pool) take(list []Endpoint, tried []string, now time.Time) (address string, more bool) {
	p.follow(list)
	free := slices.DeleteFunc(slices.Clone(list), func(e Endpoint) bool { return slices.Contains(tried, e.Address) })
	if len(free) == 0 {
		return "", false
	}
	well := slices.DeleteFunc(slices.Clone(free), func(e Endpoint) bool { return now.Before(p.known[e.Address].until) })
	if len(well) == 0 {
		well = free
	}

	first, second := weighted(well), weighted(well)
	chosen := first
	// load compares without dividing: inside of one by its weight, and of the other.
	if p.known[second.Address].inside*share(first) < p.known[first.Address].inside*share(second) {
		chosen = second
	}
	p.known[chosen.Address].inside++
	return chosen.Address, len(free) > 1
}

// follow knows the endpoints of a list, and forgets others that have nothing to do.
func (p *pool) follow(list []Endpoint) {
	if p.known == nil {
		p.known = map[string]*state{}
	}
	for _, e := range list {
		if p.known[e.Address] == nil {
			p.known[e.Address] = &state{}
		}
	}
	if len(p.known) == len(list) {
		return
	}
	for address, s := range p.known {
		isListed := func(e Endpoint) bool { return e.Address == address }
		if s.inside == 0 && !slices.ContainsFunc(list, isListed) {
			delete(p.known, address)
		}
	}
}

func share(e Endpoint) int { return max(e.Weight, 1) }

// weighted returns one of a list that is not empty, by chance and weight.
func weighted(list []Endpoint) Endpoint {
	all := 0
	for _, e := range list {
		all += share(e)
	}
	at := rand.IntN(all)
	for _, e := range list {
		at -= share(e)
		if at < 0 {
			return e
		}
	}
	return list[0] // never: at is less than the sum
}

// done is told that a request is over.
func (p *pool) done(address string) { p.known[address].inside-- }

// answered is told that an endpoint has answered.
func (p *pool) answered(address string) {
	s := p.known[address]
	s.failures, s.rests = 0, 0
}

// failed is told that an endpoint has not, now.
func (p *pool) failed(address string, now time.Time) {
	s := p.known[address]
	s.failures++
	if s.failures < tolerated {
		return
	}
	resting := 0
	for other, o := range p.known {
		if other != address && now.Before(o.until) {
			resting++
		}
	}
	if (resting+1)*2 > len(p.known) {
		return
	}
	s.rests++
	s.until = now.Add(min(time.Duration(s.rests)*rest, maxRest))
	s.failures = tolerated - 1 // the first request after the rest decides about another one
}
