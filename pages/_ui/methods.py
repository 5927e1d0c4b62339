"""What the About page says of the methods, and the papers to cite."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One method: `text` is Markdown, `equations` LaTeX; `paper` the key of its paper."""

    title: str
    text: str
    equations: tuple[str, ...]
    paper: str


@dataclass(frozen=True)
class Paper:
    """One paper: what it gives us in a sentence or two, and how to cite it."""

    key: str
    title: str
    text: str
    bibtex: str


METHODS = (
    Method(
        "Direct effects: a representation as a sum",
        r"A pre-norm ViT writes to its class token in steps: the embedding, then in each layer the attention heads and "
        r"the MLP. The final LayerNorm and the projection $P$ turn the result into the representation. With an image's "
        r"own scale $\sigma$ and norm $\rho$ held fixed these two are linear, so the unit representation is the exact "
        r"sum of what each part wrote, and a prompt's cosine is the sum of what each part scores. $C$ takes away "
        r"a vector's mean; $\gamma$ and $\beta$ are the LayerNorm's gain and offset; $a_t$ is the class token's "
        r"attention to token $t$, and $z_t$ that token after the layer's own LayerNorm.",
        (
            r"\begin{aligned}\frac{\mathrm{rep}(I)}{\rho} = \; & c_{\mathrm{emb}} + \sum_{l,h} c_{l,h} + "
            r"\sum_l c_{\mathrm{mlp},l} \\ & + \sum_l c_{\mathrm{bias},l} + \frac{P\beta}{\rho}\end{aligned}",
            r"c_{l,h} = \frac{1}{\sigma\rho}\, M_{l,h}\Big(W_V \sum_t a_t z_t + b_V\Big)",
            r"M_{l,h} = P\,\mathrm{diag}(\gamma)\,C\,W_O^{l,h}",
        ),
        "gandelsman2024",
    ),
    Method(
        "A head in its own few coordinates",
        r"A head can only write into the $k$ dimensions that its weights span. With orthonormal columns $Q$ its part "
        r"is $k$ numbers instead of a vector of the joint space, and nothing is lost: scores with a text $w$, "
        r"distances between images and principal components are the same. $o$ is the head's output before $W_O$.",
        (
            r"M = QR, \qquad r = \frac{R\,o}{\sigma\rho}, \qquad c = Qr",
            r"\langle c, w\rangle = \langle r, Q^\top w\rangle",
        ),
        "gandelsman2024",
    ),
    Method(
        "Heatmaps: which place in the image",
        r"The same sum, read token by token: what the patch at $t$ adds to the score with a text by the heads. The "
        r"class token attends to itself as well; that share has no place in the image and is stated beside the map.",
        (
            r"c_t = \frac{a_t}{\sigma\rho}\, M\,(W_V z_t + b_V)",
            r"\mathrm{map}_t(w) = \sum_{l,h} \langle c_t^{l,h}, w\rangle",
        ),
        "gandelsman2024",
    ),
    Method(
        "TextSpan: texts that span a head",
        r"Pick the text of a pool along which the head's parts vary most over the images; take that direction out of "
        r"the head and out of the pool; repeat. Variances need only the head's covariance $\Sigma$ ($k \times k$): a "
        r"head is labelled anew with your own pool at once. The percentage beside a text is the share of the head's "
        r"variance that it adds to the texts before it.",
        (
            r"w^\star = \arg\max_w\; t_w^\top \Sigma\, t_w, \qquad t_w = Q^\top w",
            r"u = \frac{t_{w^\star}^\perp}{\lVert t_{w^\star}^\perp\rVert}, \qquad "
            r"\Sigma \leftarrow (1 - uu^\top)\,\Sigma\,(1 - uu^\top)",
            r"\text{explained} = \frac{u^\top \Sigma\, u}{\mathrm{tr}\,\Sigma_0}",
        ),
        "gandelsman2024",
    ),
    Method(
        "Share of the output's variance",
        r"How much of the representation's variance over the images runs along with one part. All parts together give "
        r"100 %; one part alone may be negative, when it works against the rest.",
        (
            r"\mathrm{share}(p) = \frac{\sum_o \mathrm{Cov}(c_{p,o}, \mathrm{rep}_o)}"
            r"{\sum_o \mathrm{Var}(\mathrm{rep}_o)}",
            r"\sum_p \mathrm{share}(p) = 1",
        ),
        "gandelsman2024",
    ),
    Method(
        "Second-order effects: a neuron through later heads",
        r"Neuron $n$ of an MLP writes $p_t w_n$ at every token, and heads of later layers carry it to the class token. "
        r"With attention and LayerNorm scales as they were, each later head $m$ makes of it a number $s_m$ of the "
        r"image times a direction $D_m$ of the weights; $\varphi$ is their sum, $b$ its mean over the measured images.",
        (
            r"\varphi_n(I) = \sum_m s_m(I)\, D_m, \qquad s_m = \frac{1}{\sigma\rho} \sum_t \frac{p_t a^m_t}{\sigma_t}",
            r"D_m = M_m W_V^m\, \mathrm{diag}(\gamma)\, C\, w_n",
        ),
        "gandelsman2025",
    ),
    Method(
        "A neuron's direction, and the texts that describe it",
        r"The effects of one neuron lie almost along one direction $r$: the first principal component of $\varphi - b$ "
        r"over the images where it is longest. Its coefficient $x$ orders the images, a threshold on the length says "
        r"where the neuron is active, and matching pursuit writes $r$ as a signed sum of a few texts $t_j$ of the "
        r"pool, each less the pool's mean and of length one.",
        (
            r"x(I) = \langle \varphi(I) - b,\; r\rangle, \qquad r \approx \sum_j \gamma_j\, t_j",
            r"w_j(I) = \sum_{n\ \mathrm{active}} \gamma_{n,j}\, \lVert\varphi_n(I) - b_n\rVert\,\mathrm{sign}\,x_n",
        ),
        "gandelsman2025",
    ),
    Method(
        "Pairs of a neuron and a head: the finest units",
        r"What one neuron $n$ writes through one head $m$ that reads it is a number of the image times a direction "
        r"of the weights: in a ViT the summand $s_m D_m$ above, in a ResNet, whose pool attends over the last map's "
        r"tokens $z_t$ (positional embedding included), the one below. There pairs and biases sum to the "
        r"representation. $x$ is a pair's coefficient, and its score the mean of the largest $|x|$. Its inertia says "
        r"how unlike each other the images are in which it writes most; sub-concepts are a neuron's pairs of low "
        r"inertia whose images are the neuron's own.",
        (
            r"s_{n,h}(I) = \frac{1}{\rho} \sum_t a^h_t z_t[n], \qquad D_{n,h} = W_O^h W_V^h[:,n]",
            r"x = (s - \bar s)\,\lVert D\rVert, \qquad \mathrm{score} = \mathrm{mean}_{50\ \mathrm{largest}}\,|x|",
            r"\mathrm{inertia} = \sum_{i \in \mathrm{top}} \lVert e_i - \bar e\rVert^2",
        ),
        "bu2025",
    ),
    Method(
        "A class for every pixel, without training",
        r"A class $w$ is a text, less the mean of the classes named. For it speak the $k$ pairs of a neuron $n$ and a "
        r"head $h$ whose direction is most like it: where in the image the neuron is active, $N_n(t)$, times how like "
        r"the class what the head writes there is, $S_h(t)$, a cosine. Windows slide over the picture, and each pixel "
        r"goes to the class of the largest sum. $M_w$ marks the pairs with ones, so a sum is a product of matrices.",
        (r"\mathrm{logit}_w(t) = \frac{1}{k} \sum_{(n,h)} N_n(t)\, S_h(t) = \frac{1}{k} \sum_h S_h(t)\, (M_w N(t))_h",),
        "bu2025",
    ),
    Method(
        "Drift: a concept over groups of images",
        r"The five pairs whose direction is most like a text write something in every image; the length of what they "
        r"write together, as a share of the representation's, is followed over years, folders or other groups.",
        (r"\mathrm{share}(I) = \frac{\lVert \sum_j (s_j D_j + c_j)\rVert}{\lVert \mathrm{rep}(I)\rVert}",),
        "bu2025",
    ),
    Method(
        "The attention sink and its registers",
        r"The token that a ResNet's pool attends to most, beside its class token, and the neurons that drive it: those "
        r"whose absence changes its attention most, for all neurons from one pass.",
        (r"\Delta_n = a_{\mathrm{sink}} - a_{\mathrm{sink}}\,\big|_{\,p[n] = 0}",),
        "bu2025",
    ),
)

PAPERS = (
    Paper(
        "gandelsman2024",
        "Interpreting CLIP's Image Representation via Text-Based Decomposition",
        "Takes CLIP's image representation apart into what layers, heads and places of the image write, and names the "
        "heads by texts.",
        """@inproceedings{gandelsman2024interpreting,
  title     = {Interpreting {CLIP}'s Image Representation via Text-Based Decomposition},
  author    = {Gandelsman, Yossi and Efros, Alexei A. and Steinhardt, Jacob},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2024}
}""",
    ),
    Paper(
        "gandelsman2025",
        "Interpreting the Second-Order Effects of Neurons in CLIP",
        "Follows a neuron through the later heads to the output: each then acts almost along one direction, on few "
        "images, and a handful of texts describes it.",
        """@inproceedings{gandelsman2025second,
  title     = {Interpreting the Second-Order Effects of Neurons in {CLIP}},
  author    = {Gandelsman, Yossi and Efros, Alexei A. and Steinhardt, Jacob},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2025}
}""",
    ),
    Paper(
        "bu2025",
        "Interpreting ResNet-based CLIP via Neuron-Attention Decomposition",
        "Does the like for CLIP's ResNets: pairs of a neuron of the last map and a head of the attention pool, each a "
        "number times a fixed direction.",
        """@article{bu2025interpreting,
  title   = {Interpreting {ResNet}-based {CLIP} via Neuron-Attention Decomposition},
  author  = {Bu, Edmund and Gandelsman, Yossi},
  journal = {arXiv preprint arXiv:2509.19943},
  year    = {2025}
}""",
    ),
    Paper(
        "dravid2023",
        "Rosetta Neurons: Mining the Common Units in a Model Zoo",
        "Finds units of different models that light up at the same places of the same images, and so a dictionary of "
        "concepts that models share.",
        """@inproceedings{dravid2023rosetta,
  title     = {Rosetta Neurons: Mining the Common Units in a Model Zoo},
  author    = {Dravid, Amil and Gandelsman, Yossi and Efros, Alexei A. and Shocher, Assaf},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2023}
}""",
    ),
)
