// Package files has the configurations of the servers of an ensemble, each in a file. That of a server has one path as long as
// there is such a server, and belongs to the user that it runs as. No file is ever there in part.
package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"

	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/whole"
)

// Files are those of one ensemble.
type Files struct {
	domain string
	dir    string
}

// Of returns the files of the ensemble of a domain.
func Of(h home.Home, domain string) Files { return Files{domain, h.Domain(domain).Configs} }

// The variables that say what the configuration of a server is.
const (
	configVariable = "DIVISI_CONFIG"     // the file
	sumVariable    = "DIVISI_CONFIG_SUM" // of what is in it, for a program that does not follow it: with another one, it is another server
)

const configSuffix = ".toml"

// path returns the file of a server: httpd-0@www.toml is that of httpd-0@/test/www in the ensemble /test.
func (f Files) path(s name.Server) string {
	file := s.Name
	if rest := strings.Trim(strings.TrimPrefix(s.Domain, f.domain), "/"); rest != "" {
		file += "@" + strings.ReplaceAll(rest, "/", "~")
	}
	return filepath.Join(f.dir, file+configSuffix)
}

// Write writes the configuration of a server, and returns the variables that say so; none if it has none.
func (f Files) Write(s ensemble.Server) (env []string, err error) {
	if len(s.Config) == 0 && !*s.Of.Follows {
		return nil, nil
	}
	text, err := toml.Marshal(s.Config)
	if err == nil {
		err = f.put(f.path(s.Server), text, s.Of.User)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the configuration of %v: %w", s, err)
	}
	env = []string{configVariable + "=" + f.path(s.Server)}
	if !*s.Of.Follows {
		sum := sha256.Sum256(text)
		env = append(env, sumVariable+"="+hex.EncodeToString(sum[:8]))
	}
	return env, nil
}

// put writes a file that only one user reads. One that is as it should be is not touched.
func (f Files) put(path string, text []byte, of string) error {
	become, err := fork.Become(of)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o711); err != nil {
		return err
	}
	if err := f.open(become); err != nil {
		return fmt.Errorf("the user %s cannot read it: %w", of, err)
	}
	own := func(change func(uid, gid int) error) error {
		if become.Credential == nil {
			return nil
		}
		return change(int(become.Credential.Uid), int(become.Credential.Gid))
	}

	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return own(func(uid, gid int) error { return os.Chown(path, uid, gid) })
	}
	return whole.Make(path, 0o600, func(w io.Writer) error {
		_, err := w.Write(text)
		if file, ok := w.(*os.File); err == nil && ok {
			err = own(file.Chown)
		}
		return err
	})
}

// open opens the folders around the files to another user, as far as they are there for that alone.
func (f Files) open(become *syscall.SysProcAttr) error {
	if become.Credential == nil || int(become.Credential.Uid) == os.Getuid() {
		return nil
	}
	dir := f.dir
	for range strings.Count(f.domain, "/") + 1 {
		if err := os.Chmod(dir, 0o711); err != nil { // the umask may have taken some of that away
			return err
		}
		dir = filepath.Dir(dir)
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&1 == 0 {
		err = fmt.Errorf("others cannot go through the state folder: chmod o+x %s", dir)
	}
	return err
}

// Keep removes the files of all servers that an ensemble does not have; nil has none.
func (f Files) Keep(e *ensemble.Ensemble) error {
	has := map[string]bool{}
	if e != nil {
		for _, s := range e.Servers() {
			has[f.path(s.Server)] = len(s.Config) > 0 || *s.Of.Follows
		}
	}
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		path := filepath.Join(f.dir, entry.Name())
		if entry.Type().IsRegular() && !has[path] {
			err = errors.Join(err, os.Remove(path))
		}
	}
	if e == nil {
		_ = os.Remove(f.dir) // there may be the files of another ensemble
	}
	return err
}

// Clear removes all files, once no server is left.
func (f Files) Clear(ctx context.Context) error {
	list, err := server.All(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		if name.Within(p.Domain, f.domain) {
			return nil
		}
	}
	return f.Keep(nil)
}
