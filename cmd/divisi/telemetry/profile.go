package telemetry

import (
	"fmt"

	"github.com/google/pprof/profile"

	"github.com/divisi-go/divisi/internal/control"
)

// MergeProfiles makes one profile of those of several replicas.
func MergeProfiles(parts []control.ReplicaProfile) (*profile.Profile, error) {
	var profiles []*profile.Profile
	for _, part := range parts {
		p, err := profile.ParseData(part.Profile)
		if err != nil {
			return nil, fmt.Errorf("the profile of %s is damaged: %w", part.Name, err)
		}
		profiles = append(profiles, p)
	}
	return profile.Merge(profiles)
}
