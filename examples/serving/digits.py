"""scikit-learn's handwritten digits: what is learned, what drift is looked for against, and new."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIZE = 64  # pixels of an image


def load_parts():
    """Three pairs of images, float32, shape (n, 64), from 0 to 1, and labels, shape (n,).

    The first is to be learned, the second to be held out for the reference, and the third is sent
    by the client.
    """
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    learned, others, of_learned, of_others = train_test_split(
        images, labels, train_size=697, random_state=0, stratify=labels
    )
    held_out, new, of_held_out, of_new = train_test_split(
        others, of_others, train_size=600, random_state=0, stratify=of_others
    )
    return (learned, of_learned), (held_out, of_held_out), (new, of_new)
