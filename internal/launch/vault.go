package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/deployer/mtls"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/memfd"
)

// Slots is a keeper that keeps files in memory.
type Slots interface {
	Put(ctx context.Context, domain, slot string, f *os.File) error
	Get(ctx context.Context, domain, slot string) (*os.File, error)
}

var _ Slots = (*hold.Session)(nil)

const (
	// vaultSlot has the secrets of all versions of the domain.
	vaultSlot = "vault"

	maxVault    = 1 << 20 // bytes
	maxVersions = 32      // whose secrets are kept: those that were saved last
)

// Vault keeps the secrets of versions in a slot of the keeper, in a domain that it has claimed there.
// They are on no disk. It is safe for concurrent use.
type Vault struct {
	slots  Slots
	domain string
	every  time.Duration // how often Serve looks

	mu     sync.Mutex // held while the slot is used; guards latest
	latest []secret   // as they were there last
}

type secret struct {
	Version string `json:"version"`
	Secret  []byte `json:"secret"`
}

var _ mtls.Vault = (*Vault)(nil)

// NewVault returns the vault of a domain.
func NewVault(k Slots, domain string) *Vault {
	return &Vault{slots: k, domain: domain, every: 10 * time.Second}
}

// Load returns what is kept of a version, nil if that is nothing.
func (v *Vault) Load(ctx context.Context, version string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all, err := v.get(ctx)
	if err != nil {
		return nil, err
	}
	v.latest = all
	for _, s := range all {
		if s.Version == version {
			return s.Secret, nil
		}
	}
	return nil, nil
}

// Save keeps something of a version, in the place of what is kept. Nil is nothing.
func (v *Vault) Save(ctx context.Context, version string, data []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	all, err := v.get(ctx)
	if err != nil {
		return err
	}

	all = slices.DeleteFunc(all, func(s secret) bool { return s.Version == version })
	if data != nil {
		all = append(all, secret{version, data})
	}
	all = all[max(0, len(all)-maxVersions):]
	if err := v.put(ctx, all); err != nil {
		return err
	}
	v.latest = all
	return nil
}

// Serve puts back what a keeper has lost that was killed, until ctx ends.
func (v *Vault) Serve(ctx context.Context) {
	tick := time.NewTicker(v.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = v.restore(ctx) // a keeper that does not answer is asked again
		case <-ctx.Done():
			return
		}
	}
}

func (v *Vault) restore(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.latest) == 0 {
		return nil
	}
	f, err := v.slots.Get(ctx, v.domain, vaultSlot)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, keeper.ErrUnknown) {
		return err
	}
	return v.put(ctx, v.latest)
}

// get returns what is in the slot, or was in that of a keeper that has been killed.
func (v *Vault) get(ctx context.Context) (all []secret, err error) {
	f, err := v.slots.Get(ctx, v.domain, vaultSlot)
	switch {
	case errors.Is(err, keeper.ErrUnknown):
		return slices.Clone(v.latest), nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the vault of %s: %w", v.domain, err)
	}
	defer f.Close()
	data, err := memfd.Read(f, maxVault)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the vault of %s: %w", v.domain, err)
	}
	return all, nil
}

// put puts something into the slot, or empties it.
func (v *Vault) put(ctx context.Context, all []secret) error {
	if len(all) == 0 {
		return v.slots.Put(ctx, v.domain, vaultSlot, nil)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if len(data) > maxVault {
		return fmt.Errorf("cannot write the vault of %s: it would have %d bytes, and may have %d", v.domain, len(data), maxVault)
	}
	f, err := memfd.New(vaultSlot, data)
	if err == nil {
		err = v.slots.Put(ctx, v.domain, vaultSlot, f)
	}
	if err != nil {
		return fmt.Errorf("cannot write the vault of %s: %w", v.domain, err)
	}
	return nil
}
