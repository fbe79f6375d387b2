package consulapi

import (
	"cmp"
	"context"
	"net/url"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// peer returns where a member of the store is, as a host with a port.
func (s *Server) peer(m *pb.Member) string {
	for _, text := range m.PeerURLs {
		at, err := url.Parse(text)
		if err == nil && at.Host != "" {
			return at.Host
		}
	}
	return s.options.Address + ":8300"
}

func getPeers(s *Server, c *call) error {
	members, err := s.client.MemberList(c.Context())
	if err != nil {
		return err
	}
	peers := []string{}
	for _, m := range members.Members {
		peers = append(peers, s.peer(m))
	}
	return c.send(peers)
}

func getLeader(s *Server, c *call) error {
	leader, err := s.leader(c.Context())
	if err != nil {
		return err
	}
	return c.send(leader)
}

// leader returns where the leader is, "" if there is none.
func (s *Server) leader(ctx context.Context) (string, error) {
	members, err := s.client.MemberList(ctx)
	if err != nil {
		return "", err
	}
	endpoint := ""
	for _, e := range s.client.Endpoints() {
		endpoint = cmp.Or(endpoint, e)
	}
	status, err := s.client.Status(ctx, endpoint)
	if err != nil {
		return "", err
	}
	for _, m := range members.Members {
		if m.ID == status.Leader {
			return s.peer(m), nil
		}
	}
	return "", nil
}
