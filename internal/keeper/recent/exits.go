package recent

import (
	"slices"

	"github.com/divisi-go/divisi/internal/keeper"
)

// MaxExits bounds how many ends are remembered.
const MaxExits = 10_000

// Exits are the latest ends of processes. The zero value has none. It is not safe for concurrent use.
type Exits struct {
	List   []keeper.ExitRecord // the oldest first
	Number uint64              // of the last one
}

// Add remembers an end, and gives it a number.
func (x *Exits) Add(r keeper.ExitRecord) keeper.ExitRecord {
	r.Number = x.Number + 1
	x.Recall(r)
	return r
}

// Recall remembers an end that has a number.
func (x *Exits) Recall(r keeper.ExitRecord) {
	x.Number = max(x.Number, r.Number)
	x.List = append(x.List, r)
	if len(x.List) > MaxExits {
		x.List = slices.Delete(x.List, 0, MaxExits/10)
	}
}

// After returns the ends in a domain and in those below, behind a number.
func (x *Exits) After(domain string, number uint64) []keeper.ExitRecord {
	var list []keeper.ExitRecord
	for _, r := range x.List {
		if r.Number > number && keeper.Within(r.Domain, domain) {
			list = append(list, r)
		}
	}
	return list
}

// LastRun returns the number of the start of a server that was the last one to end, 0 if none has.
func (x *Exits) LastRun(id keeper.ID) uint64 {
	for _, r := range slices.Backward(x.List) {
		if r.Domain == id.Domain && r.Name == id.Name {
			return r.Run
		}
	}
	return 0
}

// ByToken returns the last end of a process of the server whose first start had a token.
func (x *Exits) ByToken(token string) (keeper.ExitRecord, bool) {
	for _, r := range slices.Backward(x.List) {
		if r.Token == token && token != "" {
			return r, true
		}
	}
	return keeper.ExitRecord{}, false
}

// Of returns how one start of a server has ended.
func (x *Exits) Of(id keeper.ID) (keeper.Exit, bool) {
	for _, r := range slices.Backward(x.List) {
		if r.ID == id {
			return r.Exit, true
		}
	}
	return keeper.Exit{}, false
}
