package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// target is the store that a command uses, and who uses it.
type target struct {
	stores         string
	user, password string
	secure         trust
}

func (t *target) define(c *call) {
	c.flags.StringVar(&t.stores, "store", "localhost:2379", "the `addresses` of the store's members, or of etcd's, with commas between them")
	c.flags.StringVar(&t.secure.ca, "tls-ca", "", "the `file` with who may sign certificates of members; connections are encrypted then")
	c.flags.StringVar(&t.secure.cert, "tls-cert", "", "the `file` with the certificate of this client")
	c.flags.StringVar(&t.secure.key, "tls-key", "", "the `file` with the key of that certificate")
	c.flags.StringVar(&t.user, "user", "", "the `name` of the user")
	c.flags.StringVar(&t.password, "password-file", "", "the `file` with the user's password")
}

// using returns what runs a command that uses a store, be it one of ours or etcd. It takes min to max arguments.
func using(min, max int, use func(context.Context, *call, *clientv3.Client) error) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		var t target
		t.define(c)
		c.output()
		err := c.parse(min, max)
		if err != nil {
			return err
		}
		client, err := t.dial(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		return explained(use(ctx, c, client))
	}
}

// dial returns a client, when a store has answered.
func (t *target) dial(ctx context.Context) (*clientv3.Client, error) {
	config := clientv3.Config{Endpoints: endpoints(t.stores), DialTimeout: patience, Logger: zap.NewNop(), Context: ctx}
	var err error
	config.TLS, err = t.secure.config(strings.Contains(t.stores, "https://"))
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("cannot use --store %q: %w", t.stores, err)
	}
	err = t.greet(ctx, client)
	if err != nil || t.user == "" {
		return client, err
	}

	defer client.Close()
	if t.password == "" {
		return nil, fmt.Errorf("cannot be the user %s without a password: give the file that has it with --password-file", t.user)
	}
	secret, err := os.ReadFile(t.password)
	if err != nil {
		return nil, fmt.Errorf("cannot be the user %s: cannot read --password-file: %w", t.user, err)
	}
	config.Username, config.Password = t.user, strings.TrimRight(string(secret), "\r\n")
	client, err = clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("cannot be the user %s: %w", t.user, err)
	}
	return client, nil
}

// greet fails where no store answers, and says why: a client would wait, for one that may come.
func (t *target) greet(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := client.ActiveConnection().Invoke(ctx, pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}, &pb.StatusResponse{})
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied:
		return nil // users are asked for later
	case codes.Canceled:
		return err
	case codes.Unimplemented:
		return fmt.Errorf("cannot use %s: what answers there speaks gRPC, and is no store and no etcd", t.stores)
	}
	why, encrypted := reason(err), t.secure.ca != "" || strings.Contains(t.stores, "https://")
	switch {
	case strings.Contains(why, "certificate required"):
		why += ": give one with --tls-cert and --tls-key"
	case encrypted && t.secure.cert == "" && ended(why):
		why += ": if it wants certificates of clients, give one with --tls-cert and --tls-key"
	case strings.Contains(why, "first record does not look like a TLS handshake"):
		why += ": it does not encrypt, so leave out --tls-ca and https://"
	case strings.Contains(why, "HTTP/1.1 header"):
		why = "what answers there speaks HTTP, and is no store and no etcd"
	case strings.Contains(why, "error reading server preface"):
		why += ": if it encrypts, say who has signed its certificate with --tls-ca"
	case strings.Contains(why, "certificate signed by unknown authority"):
		why += ": say who has signed it with --tls-ca"
	}
	return fmt.Errorf("cannot reach the store at %s: %s", t.stores, why)
}

// reason returns why a connection has failed, without the layers that have passed it on.
func reason(err error) string {
	text := status.Convert(err).Message()
	at := strings.LastIndex(text, `desc = "`)
	if at >= 0 {
		text = text[at+len(`desc = "`):]
	}
	text = strings.TrimRight(text, `"`)
	return strings.TrimPrefix(text, "transport: ")
}

// ended reports whether the other end has closed a connection, which is seen in several ways.
func ended(why string) bool {
	return strings.Contains(why, "broken pipe") || strings.Contains(why, "connection reset") || strings.HasSuffix(why, "EOF")
}

// explained adds the way out to what a store says.
func explained(err error) error {
	switch {
	case err == nil:
		return nil
	case has(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("%w: the store has users: give --user and --password-file", err)
	case has(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: delete what is not needed, then divisi store compact, defrag and disarm", err)
	case has(err, rpctypes.ErrRequestTooLarge), strings.Contains(err.Error(), "trying to send message larger than max"):
		return fmt.Errorf("%w: a key and its value may have 1.5 MiB together, where the store says no other number", err)
	}
	return err
}

// has reports whether an error is one of the store's, in either of the forms that it may come in.
func has(err, one error) bool {
	return errors.Is(err, one) || strings.Contains(err.Error(), one.Error())
}

// endpoints returns the addresses of a list, of which each or the whole may begin with etcd://.
func endpoints(list string) []string {
	all := strings.Split(strings.TrimPrefix(list, "etcd://"), ",")
	for i := range all {
		all[i] = strings.TrimPrefix(strings.TrimSpace(all[i]), "etcd://")
	}
	return all
}

// trust is the files that a client's --tls flags name.
type trust struct{ ca, cert, key string }

func (t trust) config(encrypted bool) (*tls.Config, error) {
	if !encrypted && cmp.Or(t.ca, t.cert, t.key) == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("cannot use --tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("cannot use --tls-ca %q: it has no certificate in PEM", t.ca)
		}
	}
	if t.cert != "" || t.key != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("cannot use --tls-cert %q and --tls-key %q: %w", t.cert, t.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
