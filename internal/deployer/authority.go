package deployer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// authority issues the certificates of one deployment and says who may call whom. Its keys live
// in memory and end with the deployment. ECDSA keys take well under a millisecond each.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// certificateLife is longer than deployments of one machine are expected to run between
// restarts of their processes; each process gets its own certificate when it starts.
const certificateLife = 30 * 24 * time.Hour

// skew is how far the clocks of two processes may differ.
const skew = 5 * time.Minute

func newAuthority(deployment string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "divisi " + deployment},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(certificateLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert: cert, key: key, pool: pool}, nil
}

// issue returns a certificate and its key, both as PEM, for a replica of a group.
func (a *authority) issue(group string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: group},
		URIs:         []*url.URL{groupURI(group)},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

func groupURI(group string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: "divisi", Path: "/group/" + group}
}

// verify returns the group whose replica has a chain of certificates.
func (a *authority) verify(chain [][]byte, usage x509.ExtKeyUsage, now time.Time) (string, error) {
	if len(chain) == 0 {
		return "", errors.New("no certificate")
	}
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return "", fmt.Errorf("the certificate does not parse: %w", err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{
		Roots: a.pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	}); err != nil {
		return "", fmt.Errorf("the certificate is not of this deployment: %w", err)
	}
	group := cert.Subject.CommonName
	if len(cert.URIs) != 1 || cert.URIs[0].String() != groupURI(group).String() {
		return "", errors.New("the certificate names no group")
	}
	return group, nil
}
