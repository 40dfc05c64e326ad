package remoting

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"sync"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
)

// SelfSigned gives a ServerOptions.TLS that answers with a certificate nobody has
// signed, made at the first handshake (tls.test.mode.enable, Java's default). It
// keeps listeners out, but proves nothing to the client. random is crypto/rand's
// Reader outside of tests.
func SelfSigned(c clock.Clock, random io.Reader) func() (*tls.Config, error) {
	return sync.OnceValues(func() (*tls.Config, error) { return selfSigned(clock.Or(c).Now(), random) })
}

func selfSigned(now time.Time, random io.Reader) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("remoting: make a key: %w", err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixMilli()), Subject: pkix.Name{CommonName: "merlin"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(random, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("remoting: make a certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
	}, nil
}
