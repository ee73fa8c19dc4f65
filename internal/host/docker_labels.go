package host

import (
	"context"
	"maps"
	"path"
	"strings"
	"sync"
)

// composeLabels is what the labels begin with that docker compose gives its
// containers, and that lead to a project's folder.
const composeLabels = "com.docker.compose."

// ComposeDir is the folder of the project that docker compose made the container
// for, empty when it did not make it.
func (c Container) ComposeDir() string {
	if dir := c.Labels[labelDir]; path.IsAbs(dir) {
		return path.Clean(dir)
	}
	return ""
}

// ComposeService is the name of the project's service that the container is of,
// empty when compose did not make it.
func (c Container) ComposeService() string { return c.Labels[labelService] }

// dropLabelsOfImages takes compose's labels off containers that have them from
// their image, where whoever made the image wrote them: such a container would
// pass for one that compose made for the connector. An image that compose built
// names its project, too, but no folder. What cannot be told counts as the
// image's. It asks once for each image of containers with such labels.
func (d dockerAPI) dropLabelsOfImages(ctx context.Context, containers []Container) {
	asked := map[string]bool{} // image → the labels are its own
	for _, c := range containers {
		if c.Labels[labelDir] != "" {
			asked[c.ImageID] = true
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, dockerWorkers)
	for id := range maps.Clone(asked) {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			image, err := d.ImageInspect(ctx, id)
			if err != nil {
				return
			}
			own := image.Config != nil && (image.Config.Labels[labelDir] != "" || image.Config.Labels[labelFiles] != "")
			mu.Lock()
			defer mu.Unlock()
			asked[id] = own
		})
	}
	wg.Wait()
	for i, c := range containers {
		if !asked[c.ImageID] {
			continue
		}
		containers[i].Labels = maps.Clone(c.Labels)
		maps.DeleteFunc(containers[i].Labels, func(key, _ string) bool { return strings.HasPrefix(key, composeLabels) })
	}
}

// dockerWorkers is how many questions docker is asked at the same time: more
// do not help it.
const dockerWorkers = 4
