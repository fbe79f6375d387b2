package ssh

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys are those by which a machine may be known.
type hostKeys struct {
	to          destination
	files       []string
	known       ssh.HostKeyCallback
	authorities bool  // some files name who signs the keys of machines
	wrong       error // why the key of the machine was refused
}

// systemKnownHosts has the keys that are known to all users.
const systemKnownHosts = "/etc/ssh/ssh_known_hosts"

// hostKeys reads the keys that are known.
func (o Options) hostKeys(to destination) (*hostKeys, error) {
	k := &hostKeys{to: to, files: o.KnownHosts}
	if k.files == nil {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("nobody knows where known_hosts is: set HOME: %w", err)
		}
		k.files = []string{filepath.Join(home, ".ssh", "known_hosts"), systemKnownHosts}
	}

	var there []string
	for _, file := range k.files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the host keys that are known: %w", err)
		}
		k.authorities = k.authorities || bytes.Contains(text, []byte("@cert-authority"))
		there = append(there, file)
	}
	known, err := knownhosts.New(there...)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host keys that are known: %w", err)
	}
	k.known = known
	return k, nil
}

// certificates are the forms that a signed key of a machine has.
var certificates = []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}

// algorithms returns the kinds of keys that are known of the machine, so that it shows one of them; nil for any kind.
func (k *hostKeys) algorithms() (list []string) {
	if k.authorities {
		list = append(list, certificates...)
	}
	for _, want := range k.wanted() {
		kinds := []string{want.Key.Type()}
		if kinds[0] == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, kind := range kinds {
			if !slices.Contains(list, kind) {
				list = append(list, kind)
			}
		}
	}
	return list
}

// wanted returns the keys that are known of the machine.
func (k *hostKeys) wanted() []knownhosts.KnownKey {
	nobodys, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var others *knownhosts.KeyError
	errors.As(k.known(k.to.address(), &net.TCPAddr{}, nobodys), &others)
	if others == nil {
		return nil
	}
	return others.Want
}

// check refuses a machine with another key than is known of it.
func (k *hostKeys) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := k.known(address, remote, key)
	if err == nil {
		return nil
	}
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	var other *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &other) && len(other.Want) > 0:
		want := other.Want[0]
		err = fmt.Errorf("the host key is %s, and another one is known by %s, line %d: somebody may pretend to be that machine; "+
			"if it was made anew, remove the old key with ssh-keygen -f %s -R '%s'",
			shown, want.Filename, want.Line, want.Filename, knownhosts.Normalize(address))
	case errors.As(err, &other):
		err = fmt.Errorf("the host key is %s, and is not known: compare it with that of the machine, and have it known with "+
			"ssh-keyscan%s %s >> %s", shown, k.to.unless22(" -p "), k.to.host, k.file())
	case errors.As(err, &revoked):
		err = fmt.Errorf("the host key is %s, which %s, line %d, revokes: give the machine another key", shown,
			revoked.Revoked.Filename, revoked.Revoked.Line)
	default:
		err = fmt.Errorf("the host key is %s: %w", shown, err)
	}
	k.wrong = err
	return err
}

// file returns where a key is to be added.
func (k *hostKeys) file() string {
	if len(k.files) == 0 {
		return "a file of Options.KnownHosts"
	}
	return strings.ReplaceAll(k.files[0], " ", `\ `)
}
