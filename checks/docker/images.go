package docker

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type imagesParams struct {
	Digest bool     `yaml:"digest" doc:"Whether each image must be named by its digest (NAME@sha256:…), which no registry can change, and not by a tag alone."`
	Images []string `yaml:"images" doc:"Patterns (glob(7)) for the images that are expected, with tag or digest, such as rdlabengpa/ids_execution_core_container:v1.14.8; empty: any that name a version."`
}

// Validate refuses patterns that can never match.
func (p imagesParams) Validate() error {
	for _, pattern := range p.Images {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("images: %q is not a pattern", pattern)
		}
	}
	return nil
}

func containerImages(ctx context.Context, h *host.Host, p imagesParams) (checks.Verdict, error) {
	d, err := deployed.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeImages(d, p)
}

// judgeImages wants the connector's images named by a version that stays.
func judgeImages(d deployment, p imagesParams) (checks.Verdict, error) {
	return judgeSubjects(d, d.subjects(true, nil), "What the connector's images hold can change without a change of its files, or is not what was expected.",
		func(s subject) (bad, seen []checks.Evidence, err error) {
			if strings.Contains(s.image, "$") {
				return nil, nil, fmt.Errorf("cannot tell the image of %s (%s:%d): only whoever runs compose knows %s", s.name, s.source, s.line, s.image)
			}
			want := ""
			tag, digest := version(s.image)
			switch {
			case s.image == "":
				want = "an image with a version; it is built where it runs"
			case p.Digest && digest == "":
				want = "NAME@sha256:…"
			case digest == "" && (tag == "" || tag == "latest"):
				want = "a tag that names a version, or a digest"
			case len(p.Images) > 0 && !slices.ContainsFunc(p.Images, func(pattern string) bool { ok, _ := path.Match(pattern, s.image); return ok }):
				want = strings.Join(p.Images, " or ")
			}
			if want != "" {
				return []checks.Evidence{s.evidence(s.name+": image", want, s.image)}, nil, nil
			}
			return nil, []checks.Evidence{s.evidence("image of "+s.name, "", s.image)}, nil
		})
}

// version splits an image's name: host:5000/name:tag@digest.
func version(image string) (tag, digest string) {
	image, digest, _ = strings.Cut(image, "@")
	if strings.HasPrefix(image, "sha256:") { // an id, which is one
		return "", image
	}
	_, tag, _ = strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return tag, digest
}
