"""The box head: boxes lie in the image, follow the map, and leave the classification as it is."""

import torch

from thorax.models import build
from thorax.models.boxes import BoxHead


def test_boxes_lie_in_the_image_whatever_the_map():
    head = BoxHead(8, 3)
    with torch.no_grad():
        boxes = head(torch.randn((5, 8, 4, 6), generator=torch.Generator().manual_seed(0)) * 20)
    assert boxes.shape == (5, 3, 4)
    assert (boxes >= 0).all()
    assert (boxes[..., :2] + boxes[..., 2:] <= 1 + 1e-5).all()


def test_a_box_is_where_its_cells_vote():
    # All weight on the cell of row 1, column 2 of 4 by 4; sides of 0.1: from 0.525 to 0.725, and from 0.275 to 0.475.
    head = BoxHead(1, 1, hidden=1)
    cell = torch.zeros((1, 1, 4, 4))
    cell[0, 0, 1, 2] = 100.0
    head.stem = torch.nn.Identity()
    with torch.no_grad():
        for layer in (head.weight, head.sides):
            layer.weight.zero_()
        head.weight.weight[0, 0, 1, 1] = 1.0
        head.sides.bias.fill_(torch.logit(torch.tensor(0.1)).item())
        found = head(cell)[0, 0]
    assert torch.allclose(found, torch.tensor([0.525, 0.275, 0.2, 0.2]), atol=1e-5)


def test_a_network_has_one_only_where_it_is_asked_for_and_answers_as_before():
    torch.manual_seed(0)
    plain = build("custom_cnn", 2).eval()
    with_boxes = build("custom_cnn", 2, boxes=True).eval()
    with_boxes.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        assert plain(image).boxes is None
        assert with_boxes(image).boxes.shape == (2, 2, 4)
        assert torch.equal(plain(image).logits, with_boxes(image).logits)


def test_the_head_learns_where_bright_squares_are():
    torch.manual_seed(0)
    network = build("custom_cnn", 1, boxes=True)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(1)

    def squares(count: int):
        images, boxes = torch.zeros(count, 1, 32, 32), torch.zeros(count, 1, 4)
        for row, (y, x) in enumerate(torch.randint(2, 18, (count, 2), generator=generator).tolist()):
            images[row, 0, y : y + 12, x : x + 12] = 1
            boxes[row, 0] = torch.tensor([x, y, 12, 12]) / 32
        return images, boxes

    for _ in range(60):
        images, boxes = squares(16)
        loss = (network(images).boxes - boxes).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, boxes = squares(32)
    with torch.no_grad():
        error = (network.eval()(images).boxes - boxes).abs().mean()
    spread = (boxes - boxes.mean(dim=0)).abs().mean()
    assert error < 0.6 * spread
