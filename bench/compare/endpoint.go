package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/bench/load"
)

// endpoint is where the processes of a rival meet.
type endpoint struct {
	network string // unix, tcp or tls
	address string
	dir     string // has the socket of orders, and the file with the identity
}

func newEndpoint(network, dir string) (endpoint, error) {
	e := endpoint{network: network, address: filepath.Join(dir, "server"), dir: dir}
	if network == "unix" {
		return e, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // to find a port
	if err != nil {
		return e, err
	}
	e.address = l.Addr().String()
	if err := l.Close(); err != nil {
		return e, err
	}
	return e, writeIdentity(e.identity())
}

func (e endpoint) control() string  { return filepath.Join(e.dir, "control") }
func (e endpoint) identity() string { return filepath.Join(e.dir, "identity") }

// environment tells a process what it is.
func (e endpoint) environment(role string) []string {
	return []string{
		load.RoleVariable + "=" + role, load.ControlVariable + "=" + e.control(),
		load.NetworkVariable + "=" + e.network, load.AddressVariable + "=" + e.address,
		load.IdentityVariable + "=" + e.identity(),
	}
}

// here is the endpoint that this process was told.
func here() endpoint {
	return endpoint{
		network: os.Getenv(load.NetworkVariable), address: os.Getenv(load.AddressVariable),
		dir: filepath.Dir(os.Getenv(load.ControlVariable)),
	}
}

func (e endpoint) kind() string {
	if e.network == "unix" {
		return "unix"
	}
	return "tcp"
}

func (e endpoint) listen() (net.Listener, error) {
	l, err := net.Listen(e.kind(), e.address)
	if err != nil || e.network != "tls" {
		return l, err
	}
	config, err := tlsConfig(e.identity())
	return tls.NewListener(l, config), err
}

func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	if e.network != "tls" {
		var d net.Dialer
		return d.DialContext(ctx, e.kind(), e.address)
	}
	config, err := tlsConfig(e.identity())
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: config}
	return d.DialContext(ctx, "tcp", e.address)
}

// writeIdentity writes a certificate and its key, which both sides have.
func writeIdentity(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert})
	pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return os.WriteFile(file, b.Bytes(), 0o600)
}

// tlsConfig is that of both sides. Each has a certificate, and believes the other one, which costs nothing
// that is measured.
func tlsConfig(file string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(file, file)
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true,
		MinVersion: tls.VersionTLS13,
	}, err
}
